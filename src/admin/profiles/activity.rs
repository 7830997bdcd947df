//! `POST` and `DELETE /profiles/{id}/activity`.

use std::time::Duration;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{check_size, user::UserId};
use crate::{
    admin::{
        Admin,
        body::Body,
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    clock,
};

/// For how long an activity counts unless it says so.
const TTL: u64 = 600;

/// For how long it counts at most.
const LONGEST_TTL: u64 = 86_400;

/// Says what a user is doing now, in place of what was said before.
///
/// Every field but `ttl_seconds` is what flags and segments see as `activity.…`. It counts for `ttl_seconds`, 600 unless
/// given and at most 86400.
#[utoipa::path(
    post, path = "/profiles/{id}/activity", tag = "profiles", security(("token" = ["client"])),
    params(("id" = String, Path, description = "the user's id: 1 to 256 bytes, no NUL")),
    request_body(content = schema::Activity, example = json!({ "current_page": "/checkout/pay", "page_duration_seconds": 420, "ttl_seconds": 900 })),
    responses(
        (status = 200, description = "noted; `expires_at` says until when", body = Value, example = json!({ "success": true, "user_id": "ann", "expires_at": "2026-01-02T03:19:05Z" })),
        (status = 400, description = "the path is not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "the activity is longer than 64 KiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "this is no activity", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(admin): State<Admin>,
    UserId(user_id): UserId,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let mut activity = body.object()?;
    let ttl = Duration::from_secs(ttl(activity.shift_remove("ttl_seconds"))?);
    check_size(Value::Object(activity.clone()).to_string().len())?;
    admin.profile_store.put_activity(&user_id, &activity, ttl).await?;
    admin.forget(&user_id);
    Ok(Json(json!({ "success": true, "user_id": user_id, "expires_at": clock::now() + ttl })))
}

/// Says that a user is doing nothing any more.
#[utoipa::path(
    delete, path = "/profiles/{id}/activity", tag = "profiles", security(("token" = ["client"])),
    params(("id" = String, Path, description = "the user's id: 1 to 256 bytes, no NUL")),
    responses(
        (status = 200, description = "forgotten", body = Value, example = json!({ "success": true })),
        (status = 400, description = "the path is not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "the user was doing nothing", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "this is no user's id", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(admin): State<Admin>, UserId(user_id): UserId) -> Result<Json<Value>, Refusal> {
    let was_known = admin.profile_store.remove_activity(&user_id).await?;
    admin.forget(&user_id);
    match was_known {
        true => Ok(Json(json!({ "success": true }))),
        false => Err(Refusal::not_found("nothing is known of what this user is doing")),
    }
}

fn ttl(given: Option<Value>) -> Result<u64, Refusal> {
    let Some(given) = given else { return Ok(TTL) };
    let ttl = given.as_u64().filter(|ttl| (1..=LONGEST_TTL).contains(ttl));
    ttl.ok_or_else(|| {
        let issue = Issue::of_body("expected a whole number from 1 to 86400", "value_error");
        Refusal::Invalid(vec![issue.at("ttl_seconds")])
    })
}
