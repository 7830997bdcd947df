//! `PUT /deployments/{id}`.

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::check::{status_of, without_status};
use crate::{
    admin::{
        Admin,
        body::Body,
        documents::{Ask, Plan, replaced, success_of},
        openapi as schema,
        refusal::Refusal,
    },
    clock,
    delivery::plan::{self, Command},
    model::DeploymentDocument,
    store::Stored,
};

/// What can change while a deployment runs, without becoming another one.
const PLAIN: [&str; 9] = [
    "name",
    "description",
    "tags",
    "notification_channels",
    "created_by",
    "created_at",
    "updated_at",
    "max_duration_hours",
    "status",
];

/// Makes the body the whole document of a deployment, new or not: `{"success": true, "deployment_id": …}`, 201 when it is
/// new. A new `version` of one that runs takes its place at once: what the old one changed goes back to what was stable
/// before, and the new one begins. One that has ended can be started again after that.
#[utoipa::path(
    put, path = "/deployments/{id}", tag = "deployments", security(("token" = ["operator"])),
    params(
        ("id" = String, Path, description = "the deployment's id"),
        schema::Writing,
        schema::IfMatch,
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such deployment"),
    ),
    request_body(content = schema::Deployment, example = json!({ "name": "New checkout", "version": "2.0.1", "stages": [
        { "name": "enable", "strategy": "feature_flag", "config": { "flag_key": "new-checkout", "rollout_stages": [{ "percentage": 100 }] } }] })),
    responses(
        (status = 200, description = "replaced, or as it was", body = schema::Written),
        (status = 201, description = "created", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "it runs, and the version is the same; or it is being rolled back; or another one changes the same flag or route now", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the document is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    let body = without_status(body)?;
    let id = ask.key.clone();
    let by = ask.caller.name.to_string();
    let deployment = admin.proposed(Some(&id), &body)?;
    admin.check_alone(&deployment).await?;
    let decide = |stored: Option<&Stored>| {
        let before = stored.and_then(|stored| DeploymentDocument::parse(&stored.text).ok());
        let snapshot = admin.cell.load();
        let Some(next) = replaced(&id, before.as_ref(), body.clone(), &snapshot, clock::now())? else {
            return Ok(Plan::Keep);
        };
        let Some(before) = before.filter(|before| core(before) != core(&next)) else { return Ok(Plan::Put(next)) };
        let status = status_of(&before)?;
        let version = |document: &DeploymentDocument| document.fields().get("version").cloned();
        if status.state.is_live() && version(&before) == version(&next) {
            return Err(Refusal::conflict("it runs: give what takes its place another `version`"));
        }
        let status = plan::command(&deployment, &status, &Command::Supersede, &by, clock::now())
            .map_err(|refused| Refusal::conflict(refused.to_string()))?;
        let mut fields = next.fields().clone();
        fields.insert("status".to_owned(), status.to_value());
        Ok(DeploymentDocument::from_map(fields).map_or(Plan::Keep, Plan::Put))
    };
    admin.change(ask, success_of::<DeploymentDocument>(&id), decide).await
}

/// What makes it the deployment that it is.
fn core(document: &DeploymentDocument) -> Map<String, Value> {
    let mut fields = document.fields().clone();
    fields.retain(|name, _| !PLAIN.contains(&name.as_str()));
    fields
}
