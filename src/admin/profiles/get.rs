//! `GET /profiles/{id}`.

use axum::{Json, extract::State};
use serde_json::Value;

use super::{document::shown, user::UserId};
use crate::admin::{Admin, openapi as schema, refusal::Refusal};

/// All that is stored of a user, and what the user does now.
///
/// `last_updated` is null when nobody said, or when only the activity is known; `activity` is null when there is none.
#[utoipa::path(
    get, path = "/profiles/{id}", tag = "profiles", security(("token" = ["viewer"])),
    params(("id" = String, Path, description = "the user's id: 1 to 256 bytes, no NUL")),
    responses(
        (status = 200, description = "the profile", body = schema::Profile),
        (status = 400, description = "the path is not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "nothing is known of this user", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "this is no user's id", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(State(admin): State<Admin>, UserId(user_id): UserId) -> Result<Json<Value>, Refusal> {
    let stored = admin.profile_store.stored_profile(&user_id).await?;
    let stored = stored.ok_or_else(|| Refusal::not_found("nothing is known of this user"))?;
    Ok(Json(shown(&user_id, &stored)))
}
