//! `POST /models/{id}/rollback`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, body::Body, documents::Ask, openapi as schema, refusal::Refusal},
    model::ModelDocument,
};

/// Writes a model as it was at an earlier revision, as a new revision; segments go by it at once. 201 when it was gone.
#[utoipa::path(
    post, path = "/models/{id}/rollback", tag = "models", security(("token" = ["editor"])),
    params(
        ("id" = String, Path, description = "the model's id"),
        schema::Writing,
        schema::IfMatch,
    ),
    request_body(content = serde_json::Value, example = json!({ "revision": 3 })),
    responses(
        (status = 200, description = "it is as it was then", body = serde_json::Value),
        (status = 201, description = "it was gone and is back", body = serde_json::Value),
        (status = 202, description = "written, and not yet served by all who were waited for", body = serde_json::Value),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "the audit log knows no such model or revision", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "that revision is damaged, or others change the model all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, or the document would be wrong now, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rollback(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    admin.roll_back::<ModelDocument>(ask, body.object()?).await
}
