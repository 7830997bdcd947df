//! `GET /flags/{key}/history`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::Value;

use super::entry::{is_full, page};
use crate::{
    admin::{
        Admin,
        documents::{Document, Key},
        openapi as schema,
        paging::Page,
        refusal::Refusal,
    },
    model::FlagDocument,
};

/// What happened to a flag, newest first, also to one that is gone: `{entries, next}`.
#[utoipa::path(
    get, path = "/flags/{key}/history", tag = "history", security(("token" = ["viewer"])),
    params(
        ("key" = String, Path, description = "the flag's key"),
        ("limit" = Option<u64>, Query, description = "at most so many entries"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("full" = Option<bool>, Query, description = "with the whole documents, not only what changed"),
    ),
    responses(
        (status = 200, description = "`entries`: who changed what when; `next`: the cursor of the next page", body = Value),
        (status = 400, description = "the path or the cursor cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "nobody knows of such a flag", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn history(
    State(admin): State<Admin>,
    Key(key): Key,
    asked: Page,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(history_of::<FlagDocument>(&admin, &key, &asked, query.as_deref().unwrap_or_default()).await?))
}

/// What happened to a document.
pub(in crate::admin) async fn history_of<D: Document>(
    admin: &Admin,
    name: &str,
    asked: &Page,
    query: &str,
) -> Result<Value, Refusal> {
    let full = is_full(query)?;
    let document = D::key(name);
    let store = admin.documents()?;
    let told = page(asked, full, |_| true, |limit| store.history(&document, limit)).await?;
    let is_empty = told["entries"].as_array().is_none_or(Vec::is_empty);
    if is_empty && asked.after.is_none() && store.get(&document).await?.is_none() {
        let (word, named_by) = (D::WORD, D::NAMED_BY);
        return Err(Refusal::not_found(format!("no {word} of this {named_by} is known, nor that there ever was one")));
    }
    Ok(told)
}
