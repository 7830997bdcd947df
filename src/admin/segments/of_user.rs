//! `GET /users/{id}/segments`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::{Map, Value};

use crate::admin::{
    Admin,
    documents::Key,
    flags::evaluate::Asked,
    openapi as schema,
    refusal::{Issue, Refusal},
};

/// The segments that a user is a member of now, by what is stored of the user and what the user is doing:
/// `{user_id, segments, details?, profile_unavailable?}`. Of a user of whom nothing is stored, too.
#[utoipa::path(
    get, path = "/users/{id}/segments", tag = "segments", security(("token" = ["viewer"])),
    params(
        ("id" = String, Path, description = "the user's id"),
        ("explain" = Option<bool>, Query, description = "`details` says for each segment why or why not"),
    ),
    responses(
        (status = 200, description = "`segments`: the ids, those of the highest priority first", body = schema::Memberships),
        (status = 400, description = "the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn segments(
    State(admin): State<Admin>,
    Key(user_id): Key,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let explain = asks_why(query.as_deref().unwrap_or_default())?;
    let asked = Asked::new(user_id, Map::new());
    Ok(Json(admin.memberships(&admin.cell.load(), &asked, None, explain).await))
}

fn asks_why(query: &str) -> Result<bool, Refusal> {
    let given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "explain").last();
    match given.as_ref().map(|(_, value)| &**value) {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(_) => Err(Refusal::Invalid(vec![Issue::of_query("explain", "expected \"true\" or \"false\"")])),
    }
}
