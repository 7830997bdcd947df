//! `DELETE /deployments/{id}`.

use axum::{extract::State, response::Response};

use super::check::status_of;
use crate::{
    admin::{
        Admin,
        documents::{Ask, Document as _, Plan, success},
        openapi as schema,
        refusal::Refusal,
    },
    model::DeploymentDocument,
    store::Stored,
};

/// Removes a deployment that does not run: `{"success": true}`. The flags stay as they are.
#[utoipa::path(
    delete, path = "/deployments/{id}", tag = "deployments", security(("token" = ["operator"])),
    params(
        ("id" = String, Path, description = "the deployment's id"),
        schema::Writing,
        schema::IfMatch,
    ),
    responses(
        (status = 200, description = "it is gone", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such deployment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "it runs, or others change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(admin): State<Admin>, ask: Ask) -> Result<Response, Refusal> {
    let decide = |stored: Option<&Stored>| {
        let stored = stored.ok_or_else(|| Refusal::not_found(DeploymentDocument::NOT_FOUND))?;
        // One that cannot be read is removed all the same: nothing runs it.
        let state = DeploymentDocument::parse(&stored.text).ok().and_then(|document| status_of(&document).ok());
        match state.filter(|status| status.state.is_live()) {
            Some(status) => {
                let state = status.state.as_str().replace('_', " ");
                Err(Refusal::conflict(format!("it is {state}; abort it first, or wait until it has ended")))
            }
            None => Ok(Plan::<DeploymentDocument>::Remove),
        }
    };
    admin.change(ask, success(), decide).await
}
