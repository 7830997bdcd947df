//! `GET /models/{id}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, conditional::Conditions, documents::Key, openapi as schema, refusal::Refusal},
    model::ModelDocument,
};

/// A model's document, as it can be put back; the number in `ETag` is its revision.
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
pub(super) async fn get(State(admin): State<Admin>, Key(id): Key, conditions: Conditions) -> Result<Response, Refusal> {
    admin.show::<ModelDocument>(&id, &conditions).await
}
