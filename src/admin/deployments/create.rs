//! `POST /deployments`.

use axum::{extract::State, http::StatusCode, response::Response};

use super::check::without_status;
use crate::{
    admin::{Admin, body::Body, documents::Creation, openapi as schema, refusal::Refusal},
    model::DeploymentDocument,
};

/// Creates a deployment, which does nothing until it is started: `{"success": true, "deployment_id": …}`.
#[utoipa::path(
    post, path = "/deployments", tag = "deployments", security(("token" = ["operator"])),
    params(
        schema::Writing,
    ),
    request_body(content = schema::NewDeployment, example = json!({ "id": "checkout-2", "name": "New checkout", "version": "2.0.0", "stages": [
        { "name": "enable", "strategy": "feature_flag", "config": { "flag_key": "new-checkout", "rollout_stages": [{ "percentage": 5, "duration": "1h" }, { "percentage": 100 }] } }] })),
    responses(
        (status = 200, description = "what would be done, with `dry_run`", body = schema::Written),
        (status = 201, description = "created; `ETag` names its state", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 409, description = "there is such a deployment, or another one changes the same flag or route now", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the document is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(State(admin): State<Admin>, creation: Creation, body: Body) -> Result<Response, Refusal> {
    let body = without_status(body)?;
    let deployment = admin.proposed(None, &body)?;
    admin.check_alone(&deployment).await?;
    admin.create::<DeploymentDocument>(creation, body, StatusCode::CREATED).await
}
