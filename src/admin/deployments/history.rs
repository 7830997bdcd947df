//! `GET /deployments/{id}/history`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::Value;

use crate::{
    admin::{Admin, documents::Key, openapi as schema, paging::Page, refusal::Refusal, trail::history_of},
    model::DeploymentDocument,
};

/// What happened to a deployment, newest first, also to one that is gone: `{entries, next}`. Each step of the conductor is
/// an entry.
#[utoipa::path(
    get, path = "/deployments/{id}/history", tag = "history", security(("token" = ["viewer"])),
    params(
        ("id" = String, Path, description = "the deployment's id"),
        schema::Entries,
    ),
    responses(
        (status = 200, description = "`entries`: who changed what when; `next`: the cursor of the next page", body = Value),
        (status = 400, description = "the path or the cursor cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "nobody knows of such a deployment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn history(
    State(admin): State<Admin>,
    Key(id): Key,
    asked: Page,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(history_of::<DeploymentDocument>(&admin, &id, &asked, query.as_deref().unwrap_or_default()).await?))
}
