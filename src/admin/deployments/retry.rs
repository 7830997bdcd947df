//! `POST /deployments/{id}/retry`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, documents::Ask, openapi as schema, refusal::Refusal},
    delivery::plan::Command,
};

/// Begins a deployment anew that failed or was rolled back. Stages that are still completed stay so.
/// The answer is `{"success": true, "deployment_id": …, "state": …, "status": {…}}`.
#[utoipa::path(
    post, path = "/deployments/{id}/retry", tag = "deployments", security(("token" = ["operator"])),
    params(
        ("id" = String, Path, description = "the deployment's id"),
        schema::Writing,
        schema::IfMatch,
    ),
    responses(
        (status = 200, description = "done", body = schema::Conducted),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Conducted),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such deployment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "it means nothing in the state that the deployment is in, or another one is in the way", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, or the document does not fit this gateway any more, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn retry(State(admin): State<Admin>, ask: Ask) -> Result<Response, Refusal> {
    admin.conduct(ask, Command::Retry).await
}
