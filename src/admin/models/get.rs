//! `GET /models/{id}`.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse, Response},
};

use super::{change::ModelId, document_of};
use crate::{
    admin::{
        Admin,
        conditional::{Conditions, Tag},
        openapi as schema,
        refusal::Refusal,
    },
    model::DocumentKey,
};

/// A model's document, as it can be put back; the number in `ETag` is its version.
#[utoipa::path(
    get, path = "/models/{id}", tag = "models", security(("token" = ["viewer"])),
    params(
        ("id" = String, Path, description = "the model's id"),
        ("If-None-Match" = Option<String>, Header, description = "entity tags that the caller has; 304 if it is one of them"),
    ),
    responses(
        (status = 200, description = "the model; `ETag` names its state", body = serde_json::Value),
        (status = 304, description = "the caller has it already"),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such model", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "the stored document is damaged", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(admin): State<Admin>,
    ModelId(id): ModelId,
    conditions: Conditions,
) -> Result<Response, Refusal> {
    let stored = admin.documents()?.get(&DocumentKey::model(id)).await?;
    let document = document_of(stored.as_ref())?;
    let Some(tag) = stored.as_ref().map(Tag::of) else { return Err(Refusal::not_found("there is no such model")) };
    let header = AppendHeaders([tag.header()]);
    if conditions.is_known(&tag)? {
        return Ok((StatusCode::NOT_MODIFIED, header).into_response());
    }
    Ok((header, Json(document.fields())).into_response())
}
