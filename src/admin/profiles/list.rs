//! `GET /profiles`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::{Value, json};

use super::document::shown;
use crate::{
    admin::{
        Admin, openapi as schema,
        paging::{Page, cursor},
        refusal::{Issue, Refusal},
    },
    store::Cursor,
};

/// How many profiles a page has about, unless said otherwise.
const PAGE: usize = 100;

/// All profiles, in pages and in no order that means anything.
///
/// A profile that is there from the first page to the last comes at least once; one that is written meanwhile may come
/// twice, or not. A page has about `limit` profiles, maybe some more or none: there are more as long as `next` says so.
#[utoipa::path(
    get, path = "/profiles", tag = "profiles", security(("token" = ["viewer"])),
    params(
        ("limit" = Option<u64>, Query, description = "about so many profiles, 1 to 1000; 100 unless given"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("count" = Option<bool>, Query, description = "with how many there are"),
    ),
    responses(
        (status = 200, description = "`next` is the cursor of the next page, or null; `total` how many there are, counted or (`exact` false) estimated, or null", body = schema::ProfilePage),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    asked: Page,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let counts = counts(query.as_deref().unwrap_or_default())?;
    let after = asked.after.map(Cursor::new);
    let (page, next) = admin.profile_store.scan(after.as_ref(), asked.limit.unwrap_or(PAGE)).await?;
    let total = if counts { Some(admin.profile_store.count_profiles().await?) } else { None };
    let profiles: Vec<Value> = page.iter().map(|(user_id, stored)| shown(user_id, stored)).collect();
    Ok(Json(json!({
        "profiles": profiles,
        "next": next.map(|next| cursor(next.as_str())),
        "total": total.map(|total| json!({ "number": total.number, "exact": total.exact })),
    })))
}

fn counts(query: &str) -> Result<bool, Refusal> {
    let mut counts = false;
    for (_, value) in form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "count") {
        counts = match &*value {
            "" | "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err(Refusal::Invalid(vec![Issue::of_query("count", "expected true or false")])),
        };
    }
    Ok(counts)
}
