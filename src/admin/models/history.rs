//! `GET /models/{id}/history`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::Value;

use super::change::ModelId;
use crate::{
    admin::{
        Admin, openapi as schema,
        paging::Page,
        refusal::Refusal,
        trail::{is_full, page},
    },
    model::DocumentKey,
};

/// The versions of a model, newest first, also of one that is gone: `{entries, next}`. A network is told by its hash.
#[utoipa::path(
    get, path = "/models/{id}/history", tag = "models", security(("token" = ["viewer"])),
    params(
        ("id" = String, Path, description = "the model's id"),
        ("limit" = Option<u64>, Query, description = "at most so many entries"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("full" = Option<bool>, Query, description = "with the whole documents, not only what changed"),
    ),
    responses(
        (status = 200, description = "`entries`: who changed what when; `next`: the cursor of the next page", body = Value),
        (status = 400, description = "the path or the cursor cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "nobody knows of such a model", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn history(
    State(admin): State<Admin>,
    ModelId(id): ModelId,
    asked: Page,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let full = is_full(query.as_deref().unwrap_or_default())?;
    let document = DocumentKey::model(id);
    let store = admin.documents()?;
    let told = page(&asked, full, |_| true, |limit| store.history(&document, limit)).await?;
    let is_empty = told["entries"].as_array().is_none_or(Vec::is_empty);
    if is_empty && asked.after.is_none() && store.get(&document).await?.is_none() {
        return Err(Refusal::not_found("no model of this id is known, nor that there ever was one"));
    }
    Ok(Json(told))
}
