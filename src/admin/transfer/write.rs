//! Carries a plan out, write by write.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::plan::{Entry, Fate};
use crate::{
    admin::{Admin, access::Caller, problem::Problem, refusal::status_of},
    clock,
    model::WorldRevision,
    store::{StoreError, Write},
};

/// How long an import waits until this gateway serves it.
const SERVED_WITHIN: Duration = Duration::from_secs(1);

/// Writes what a plan says and gives the revision after the last write. Each write compares: what another writer changed
/// since the plan was made is not overwritten.
///
/// # Errors
/// A write failed. The problem says what was written before it and what was not.
pub(super) async fn carry_out(
    admin: &Admin,
    caller: &Caller,
    plan: &[Entry],
) -> Result<Option<WorldRevision>, Problem> {
    let writes: Vec<&Entry> = plan.iter().filter(|entry| entry.action != Fate::Unchanged).collect();
    let mut last = None;
    for (done, entry) in writes.iter().enumerate() {
        match write(admin, caller, entry).await {
            Ok(revision) => last = Some(revision),
            Err(error) => return Err(broken_off(&writes, done, error)),
        }
    }
    if let Some(revision) = &last
        && !admin.sync.applied(revision, SERVED_WITHIN).await
    {
        log::warn!("admin: an import is stored but not yet served after {SERVED_WITHIN:?}");
    }
    Ok(last)
}

async fn write(admin: &Admin, caller: &Caller, entry: &Entry) -> Result<WorldRevision, StoreError> {
    let write = Write {
        document: entry.document.clone(),
        text: entry.text.clone(),
        expected: entry.expected,
        actor: caller.name.to_string(),
        at: clock::now(),
        fence: None,
    };
    Ok(admin.documents()?.write(write).await?.world)
}

fn told(entry: &Entry) -> Value {
    json!({ "kind": entry.document.kind, "key": entry.key, "action": entry.action })
}

fn broken_off(writes: &[&Entry], done: usize, error: StoreError) -> Problem {
    let status = status_of(&error);
    let why = match status {
        StatusCode::CONFLICT => "somebody else changed it since the plan was made".to_owned(),
        _ => {
            log::error!("admin: an import broke off: {error}");
            error.to_string()
        }
    };
    let all = |entries: &[&Entry]| -> Value { entries.iter().map(|entry| told(entry)).collect() };
    let failed = writes[done];
    let mut failed_so = told(failed);
    failed_so["why"] = why.as_str().into();
    let detail = format!(
        "{done} of {} writes were done, then {:?} failed: {why}; import again to go on",
        writes.len(),
        failed.key
    );
    Problem::new(status, detail)
        .with("written", all(&writes[..done]))
        .with("failed", failed_so)
        .with("not_written", all(&writes[done + 1..]))
}
