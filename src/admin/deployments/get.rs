//! `GET /deployments/{id}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, conditional::Conditions, documents::Key, openapi as schema, refusal::Refusal},
    model::DeploymentDocument,
};

/// A deployment with its `status`: the state of each stage, and what it waits on, in words. `If-None-Match` spares who has
/// it already.
#[utoipa::path(
    get, path = "/deployments/{id}", tag = "deployments", security(("token" = ["viewer"])),
    params(
        ("id" = String, Path, description = "the deployment's id"),
        ("If-None-Match" = Option<String>, Header, description = "the `ETag` of what the client has"),
    ),
    responses(
        (status = 200, description = "the whole document; `ETag` names its state", body = schema::Deployment),
        (status = 304, description = "the client has it already"),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such deployment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "the stored document is damaged", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(State(admin): State<Admin>, Key(id): Key, conditions: Conditions) -> Result<Response, Refusal> {
    admin.show::<DeploymentDocument>(&id, &conditions).await
}
