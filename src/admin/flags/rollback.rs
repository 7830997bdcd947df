//! `POST /flags/{key}/rollback`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::{
    change::{Ask, Plan},
    document, success,
};
use crate::{
    admin::{
        Admin,
        body::Body,
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    clock,
    model::{DocumentKey, FlagDocument},
    store::Stored,
};

/// More than any audit log has.
const ALL: usize = 1 << 20;

/// Writes a flag as it was at an earlier revision, as a new revision: `{"success": true, "flag_key": …}`, 201 when it was
/// gone. What the document refers to may have changed since, so it is checked anew.
#[utoipa::path(
    post, path = "/flags/{key}/rollback", tag = "history", security(("token" = ["editor"])),
    params(
        ("key" = String, Path, description = "the flag's key"),
        ("wait" = Option<String>, Query, description = "`all` or a number: answer once so many live gateways serve the change, 202 if they do not in time"),
        ("timeout" = Option<f64>, Query, description = "for how many seconds to wait, 25 at most; 2 unless given"),
        ("dry_run" = Option<bool>, Query, description = "only say what would be done"),
        ("If-Match" = Option<String>, Header, description = "only if the flag still has one of these entity tags"),
    ),
    request_body(content = serde_json::Value, example = json!({ "revision": 3 })),
    responses(
        (status = 200, description = "it is as it was then", body = schema::Written),
        (status = 201, description = "it was gone and is back", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "the audit log knows no such flag or revision", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "that revision is damaged, or others change the flag all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, or the document would be wrong now, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rollback(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    let revision = revision_of(body.object()?)?;
    let earlier = admin.earlier(&DocumentKey::flag(&*ask.key), revision).await?;
    let earlier = FlagDocument::parse(&earlier)
        .map_err(|fault| Refusal::conflict(format!("revision {revision} cannot be read: {}", fault.message)))?;
    let decide = |stored: Option<&Stored>| {
        let current = stored.and_then(|stored| FlagDocument::parse(&stored.text).ok());
        let restored = document::restored(&earlier, current.as_ref(), &admin.cell.load(), clock::now())?;
        Ok(restored.map_or(Plan::Keep, Plan::Put))
    };
    let mut answer = success();
    answer.insert("flag_key".to_owned(), ask.key.as_str().into());
    admin.change(ask, answer, decide).await
}

/// The revision that a body names: `{"revision": 3}`.
pub(in crate::admin) fn revision_of(mut body: Map<String, Value>) -> Result<u64, Refusal> {
    let mut issues = Vec::new();
    let revision = body.shift_remove("revision");
    match &revision {
        None => issues.push(Issue::missing().at("revision")),
        Some(revision) if revision.as_u64().is_some_and(|revision| revision > 0) => {}
        Some(_) => issues.push(Issue::of_body("expected a whole number from 1", "type_error.integer").at("revision")),
    }
    issues.extend(body.keys().map(|name| Issue::of_body("unknown field", "value_error").at(name.as_str())));
    Refusal::of_issues(issues)?;
    Ok(revision.as_ref().and_then(Value::as_u64).unwrap_or_default())
}

impl Admin {
    /// The text of a document at an earlier revision, from the audit log.
    pub(in crate::admin) async fn earlier(&self, document: &DocumentKey, revision: u64) -> Result<Arc<str>, Refusal> {
        let entries = self.documents()?.history(document, ALL).await?;
        let mut written = entries.iter().filter(|entry| entry.after.is_some());
        if let Some(text) = written.clone().find(|entry| entry.document_revision == revision) {
            return text.after.clone().ok_or_else(|| Refusal::not_found("that revision has no document"));
        }
        let known = match (written.clone().next_back(), written.next()) {
            (Some(oldest), Some(newest)) => {
                format!("known are revisions {} to {}", oldest.document_revision, newest.document_revision)
            }
            (_, _) => format!("the audit log does not know the {}", document.kind),
        };
        Err(Refusal::not_found(format!("there is no revision {revision} of {document} in the audit log: {known}")))
    }
}
