//! `POST /models/{id}/rollback`.

use axum::{extract::State, response::Response};

use super::change::{Asked, Plan};
use crate::{
    admin::{Admin, body::Body, flags::revision_of, openapi as schema, refusal::Refusal},
    model::{DocumentKey, ModelDocument},
};

/// Writes a model as it was at an earlier version, as a new version; segments go by it at once. 201 when it was gone.
#[utoipa::path(
    post, path = "/models/{id}/rollback", tag = "models", security(("token" = ["editor"])),
    params(
        ("id" = String, Path, description = "the model's id"),
        ("wait" = Option<String>, Query, description = "`all` or a number: answer once so many live gateways serve the change, 202 if they do not in time"),
        ("timeout" = Option<f64>, Query, description = "for how many seconds to wait, 25 at most; 2 unless given"),
        ("If-Match" = Option<String>, Header, description = "only if the model still has one of these entity tags"),
    ),
    request_body(content = serde_json::Value, example = json!({ "revision": 3 })),
    responses(
        (status = 200, description = "it is as it was then", body = serde_json::Value),
        (status = 201, description = "it was gone and is back", body = serde_json::Value),
        (status = 202, description = "written, and not yet served by all who were waited for", body = serde_json::Value),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "the audit log knows no such model or version", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "that version is damaged, or others change the model all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, or the document would be wrong now, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rollback(State(admin): State<Admin>, asked: Asked, body: Body) -> Result<Response, Refusal> {
    let revision = revision_of(body.object()?)?;
    let earlier = admin.earlier(&DocumentKey::model(&*asked.id), revision).await?;
    let earlier = ModelDocument::parse(&earlier)
        .map_err(|fault| Refusal::conflict(format!("version {revision} cannot be read: {}", fault.message)))?;
    admin.check_model(&earlier).await?;
    admin.change_model(asked, |_| Ok(Plan::Put(earlier.clone()))).await
}
