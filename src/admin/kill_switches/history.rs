//! `GET /kill-switches/{id}/history`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::{Value, json};

use crate::{
    admin::{
        Admin,
        documents::{Document as _, Key},
        openapi as schema,
        paging::Page,
        refusal::Refusal,
        trail::history_of,
    },
    model::KillSwitchDocument,
};

/// What a kill switch did and what was done to it, newest first, also one that is gone: `{entries, next, activations}`.
#[utoipa::path(
    get, path = "/kill-switches/{id}/history", tag = "history", security(("token" = ["viewer"])),
    params(
        ("id" = String, Path, description = "the kill switch's id"),
        schema::Entries,
    ),
    responses(
        (status = 200, description = "`activations`: the latest 20, each with who did it, why, for how long, and what is known of errors; `entries`: who changed the document when; `next`: the cursor of the next page", body = Value),
        (status = 400, description = "the path or the cursor cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "nobody knows of such a kill switch", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn history(
    State(admin): State<Admin>,
    Key(id): Key,
    asked: Page,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let mut told = history_of::<KillSwitchDocument>(&admin, &id, &asked, query.as_deref().unwrap_or_default()).await?;
    let stored = admin.documents()?.get(&KillSwitchDocument::key(&id)).await?;
    let document = stored.and_then(|stored| KillSwitchDocument::parse(&stored.text).ok());
    let status = document.and_then(|document| document.status().ok()).unwrap_or_default();
    told["activations"] = json!(status.history);
    Ok(Json(told))
}
