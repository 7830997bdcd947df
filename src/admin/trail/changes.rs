//! `GET /changes`.

use axum::{Json, extract::State};
use serde_json::{Map, Value};

use super::entry::page;
use crate::{
    admin::{Admin, openapi as schema, paging::Page, refusal::Refusal},
    store::{Entries, Place},
};

/// What stays of an entry of the audit log.
const TOLD: [&str; 6] = ["kind", "key", "action", "revision", "actor", "at"];

/// What was changed lately, newest first: `{entries, next}`. As `/audit`, but for each entry the names of the `fields` that
/// changed instead of what stood in them.
#[utoipa::path(
    get, path = "/changes", tag = "history", security(("token" = ["viewer"])),
    params(
        ("limit" = Option<u64>, Query, description = "how many entries, 1 to 1000; 50 unless given"),
        ("cursor" = Option<String>, Query, description = "where the page before ended: its `next`"),
    ),
    responses(
        (status = 200, description = "`entries`: who changed what when", body = Value, example = json!({
            "entries": [{ "kind": "flag", "key": "theme", "action": "updated", "revision": 3, "actor": "ann", "at": "2026-11-30T12:00:00Z", "fields": ["split"] }],
            "next": null
        })),
        (status = 400, description = "the cursor cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn changes(State(admin): State<Admin>, asked: Page) -> Result<Json<Value>, Refusal> {
    let store = admin.documents()?;
    let read = async |behind: Option<Place>, limit| {
        store.entries(Entries { of: None, behind: behind.as_deref(), limit }).await
    };
    let mut told = page(&asked, false, |_| true, read).await?;
    for entry in told["entries"].as_array_mut().into_iter().flatten() {
        *entry = shortened(entry);
    }
    Ok(Json(told))
}

fn shortened(entry: &Value) -> Value {
    let mut short: Map<String, Value> = TOLD.iter().map(|name| ((*name).to_owned(), entry[name].clone())).collect();
    let pointers = entry["changes"].as_array().into_iter().flatten().filter_map(|change| change["pointer"].as_str());
    let mut fields: Vec<&str> = pointers.filter_map(|pointer| pointer.split('/').nth(1)).collect();
    fields.dedup();
    short.insert("fields".to_owned(), fields.into());
    short.into()
}
