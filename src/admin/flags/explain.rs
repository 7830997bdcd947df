//! `POST /flags/{key}/explain`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;

use super::evaluate::Asked;
use crate::{
    admin::{Admin, body::Body, form::Form, openapi as schema, refusal::Refusal},
    model::Context,
};

/// What the flag gives a user, and every step on the way there: prerequisites, targets, each rule with what it saw, the bucket.
/// Nothing is counted, and nobody is told.
#[utoipa::path(
    post, path = "/flags/{key}/explain", tag = "evaluation", security(("token" = ["viewer"])),
    params(("key" = String, Path, description = "the flag's key")),
    request_body(content = schema::EvaluateRequest, example = json!({ "user_id": "42", "attributes": { "plan": "pro" } })),
    responses(
        (status = 200, description = "value, variation, reason and `steps`", body = Value, example = json!({
            "key": "new-search", "value": false, "variation": "false", "reason": "default", "detail": null, "prerequisites_met": true,
            "steps": [{ "step": "bucket", "bucket": { "of": "user_id", "salt": "new-search", "hash": "md5", "value": 48.12 } }]
        })),
        (status = 400, description = "the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such flag", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn explain(
    State(admin): State<Admin>,
    Path(key): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let mut form = Form::new(body.object()?);
    let asked = Asked::take(&mut form);
    form.check()?;
    let snapshot = admin.cell.load();
    let flag = snapshot.flag(&key).ok_or_else(|| Refusal::not_found(format!("Flag {key} not found")))?;
    let told = |context: Context<'_>| snapshot.explain(flag, context);
    let (mut told, detail) = asked.answered(&admin, told).await;
    if let Some(detail) = detail {
        told["detail"] = detail.into();
    }
    Ok(Json(told))
}
