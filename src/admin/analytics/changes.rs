//! What people and deployments changed lately.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    admin::Admin,
    analytics::Change,
    model::DocumentKind,
    store::{Action, AuditEntry, Entries, StoreError},
};

/// Changes that are older are no cause of what is seen now.
const CHANGES: SignedDuration = SignedDuration::from_hours(2);

/// So many entries of the audit log are looked through.
const ENTRIES: usize = 500;

/// What was changed lately.
pub(super) async fn changes(admin: &Admin, now: Timestamp) -> Result<Vec<Change>, StoreError> {
    let entries = admin.store.entries(Entries { limit: ENTRIES, ..Entries::default() }).await?;
    let is_late = |entry: &AuditEntry| now.duration_since(entry.at) <= CHANGES;
    let changes = entries.into_iter().map(|(_, entry)| entry).filter(is_late).filter_map(|entry| {
        if entry.document.kind == DocumentKind::MlModel {
            return None;
        }
        let text = entry.after.as_deref().or(entry.before.as_deref()).unwrap_or_default();
        let about = serde_json::from_str(text).map(|document: Value| about(&document)).unwrap_or_default();
        let action = match entry.action {
            Action::Created => "created",
            Action::Updated => "updated",
            Action::Deleted => "deleted",
        };
        Some(Change {
            kind: entry.document.kind,
            key: entry.document.key.to_string(),
            action: action.to_owned(),
            actor: entry.actor,
            at: entry.at,
            about,
        })
    });
    Ok(changes.collect())
}

/// The flags, routes and services that a document names.
fn about(document: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let mut take = |value: &Value| match value {
        Value::String(name) => names.push(name.clone()),
        Value::Array(all) => names.extend(all.iter().filter_map(Value::as_str).map(str::to_owned)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    };
    ["affected_features", "affected_services", "parent"].into_iter().for_each(|name| take(&document[name]));
    for stage in document["stages"].as_array().into_iter().flatten() {
        ["flag_key", "route"].into_iter().for_each(|name| take(&stage["config"][name]));
    }
    names
}
