//! `PATCH /kill-switches/{id}`.

use axum::{extract::State, response::Response};

use super::without_status;
use crate::{
    admin::{Admin, body::Body, documents::Ask, openapi as schema, refusal::Refusal},
    model::KillSwitchDocument,
};

/// Changes the fields that the body names; null resets one: `{"success": true}`. Whether it kills stays as it is; what it
/// kills changes at once.
#[utoipa::path(
    patch, path = "/kill-switches/{id}", tag = "kill switches", security(("token" = ["operator"])),
    params(
        ("id" = String, Path, description = "the kill switch's id"),
        schema::Writing,
        schema::IfMatch,
    ),
    request_body(content = serde_json::Value, description = "the fields to change", example = json!({ "error_threshold": 5 })),
    responses(
        (status = 200, description = "changed", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such kill switch", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "the stored document is damaged, or others change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the document would be wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn patch(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    admin.patch::<KillSwitchDocument>(ask, without_status(body)?).await
}
