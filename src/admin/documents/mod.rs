//! What all kinds of documents have in common that people write through the API: reading, checking, compare and set.

mod change;
mod deployment;
mod flag;
mod formed;
mod kill_switch;
mod model;
mod segment;
mod verbs;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::{
    Admin,
    access::Caller,
    form::Kind,
    refusal::{Issue, Refusal},
};
use crate::{
    clock,
    model::{
        DeploymentDocument, DocumentKey, DocumentKind, Fault, FlagDocument, Kept, KillSwitchDocument,
        MAX_DOCUMENT_BYTES, ModelDocument, SegmentDocument,
    },
    snapshot::Snapshot,
    store::{Expected, Store, StoreError, Stored, Write, Written},
};

pub(super) use change::{Ask, Key, Plan};
pub(super) use formed::{formed, patched, replaced};
pub(super) use verbs::Creation;

/// How long a write waits until this gateway serves it.
pub(super) const SERVED_WITHIN: Duration = Duration::from_secs(1);

/// Whether a field may be null on create.
#[derive(Clone, Copy)]
pub(super) enum Null {
    Refused,
    Absent,
}

/// A kind of document that people write.
pub(super) trait Document: Kept + Clone + Send + Sync {
    /// Which kind that is.
    const KIND: DocumentKind;
    /// What people call it.
    const WORD: &'static str;
    /// What a reader is told when there is none.
    const NOT_FOUND: &'static str;
    /// The field that names a document.
    const NAMED_BY: &'static str;
    /// The field of answers that names it.
    const TOLD_AS: &'static str;
    /// Whether a new one needs a `name` for people.
    const NEEDS_NAME: bool = true;
    /// The fields that are coerced, but for the names and the times.
    const FIELDS: &'static [(&'static str, Kind, Null)];
    /// Fields that the service works out: a body that replaces the document leaves them alone.
    const WORKED_OUT: &'static [&'static str] = &[];

    /// With the defaults of fields that were not set.
    fn complete(&self) -> Map<String, Value> {
        self.fields().clone()
    }

    /// Everything that is wrong with it, also against the other documents.
    fn faults(&self, snapshot: &Snapshot) -> Vec<Fault>;

    /// The documents of its kind that have to be there before it; more may be named than there are.
    fn rests_on(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is wrong in words of the API's own.
    fn issue(_fields: &Map<String, Value>) -> Option<Issue> {
        None
    }

    fn name(&self) -> &str {
        self.fields().get(Self::NAMED_BY).and_then(Value::as_str).unwrap_or_default()
    }

    /// Names the document in the store.
    fn key(name: &str) -> DocumentKey {
        DocumentKey { kind: Self::KIND, key: name.into() }
    }
}

impl Admin {
    /// The store, unless it lost what is served: its documents would seem to be gone, and a write would be all that it
    /// holds.
    pub(super) fn documents(&self) -> Result<&dyn Store, StoreError> {
        match self.sync.status().alarm {
            None => Ok(&*self.store),
            Some(alarm) => {
                let why = format!("{alarm}; `flaggate store reseed` writes back what is served");
                Err(StoreError::Unavailable(why.into()))
            }
        }
    }

    /// Writes a document, or removes it, and waits a moment until this gateway serves the change.
    pub(super) async fn write<D: Document>(
        &self,
        caller: &Caller,
        name: &str,
        document: Option<&D>,
        expected: Expected,
    ) -> Result<Written, StoreError> {
        let text = document.map(|document| Arc::from(document.to_text()));
        let document = D::key(name);
        let write = Write { document, text, expected, actor: caller.name.to_string(), at: clock::now(), fence: None };
        let written = self.documents()?.write(write).await?;
        if !self.sync.applied(&written.world, SERVED_WITHIN).await {
            log::warn!("admin: the change of {name:?} is stored but not yet served after {SERVED_WITHIN:?}");
        }
        Ok(written)
    }
}

/// What is stored, as a document.
pub(super) fn document_of<D: Document>(stored: Option<&Stored>) -> Result<D, Refusal> {
    let stored = stored.ok_or_else(|| Refusal::not_found(D::NOT_FOUND))?;
    D::parse(&stored.text).map_err(|fault| {
        Refusal::conflict(format!(
            "the stored document is damaged ({}); /diagnostics tells more; delete it or write it anew",
            fault.message
        ))
    })
}

/// Refuses a document that would not be read again.
pub(super) fn check_size<D: Document>(document: &D) -> Result<(), Refusal> {
    let bytes = document.to_text().len();
    if bytes <= MAX_DOCUMENT_BYTES {
        return Ok(());
    }
    let detail = format!("the {} would be {bytes} bytes long; at most {MAX_DOCUMENT_BYTES} are possible", D::WORD);
    Err(Refusal::Status(axum::http::StatusCode::PAYLOAD_TOO_LARGE, detail))
}

/// `{"success": true}`.
pub(super) fn success() -> Map<String, Value> {
    Map::from_iter([("success".to_owned(), true.into())])
}

/// `{"success": true, "flag_key": …}`.
pub(super) fn success_of<D: Document>(name: &str) -> Map<String, Value> {
    let mut answer = success();
    answer.insert(D::TOLD_AS.to_owned(), name.into());
    answer
}

/// The fields that were set in a stored document of any kind, if it can be read; `complete`: and the defaults of others.
pub(super) fn fields_of(kind: DocumentKind, text: &str, complete: bool) -> Option<Map<String, Value>> {
    fn read<D: Document>(text: &str, complete: bool) -> Option<Map<String, Value>> {
        let document = D::parse(text).ok()?;
        Some(if complete { document.complete() } else { document.fields().clone() })
    }
    match kind {
        DocumentKind::Flag => read::<FlagDocument>(text, complete),
        DocumentKind::Segment => read::<SegmentDocument>(text, complete),
        DocumentKind::MlModel => read::<ModelDocument>(text, complete),
        DocumentKind::KillSwitch => read::<KillSwitchDocument>(text, complete),
        DocumentKind::Deployment => read::<DeploymentDocument>(text, complete),
    }
}
