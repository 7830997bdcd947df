//! `/flags`: the existing service's endpoints, and what they lacked.

mod bulk;
mod change;
mod create;
mod delete;
pub(super) mod document;
mod evaluate;
mod get;
mod list;
mod patch;
mod put;

use std::sync::Arc;

use axum::{
    Router,
    response::Redirect,
    routing::{get, post},
};
use serde_json::{Map, Value};

use super::{Admin, refusal::Refusal};
use crate::{
    clock,
    model::{DocumentKey, FlagDocument, MAX_DOCUMENT_BYTES},
    store::{Expected, Store, StoreError, Stored, Write, Written},
};

/// Who writes, as long as there are no tokens.
pub(super) const ANYONE: &str = "anonymous";

/// How long a write waits until this gateway serves it.
const SERVED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) fn router() -> Router<Admin> {
    let one = || get(get::get).put(put::put).patch(patch::patch).delete(delete::delete);
    Router::new()
        .route("/flags", post(create::create).get(list::list))
        .route("/flags/", get(async || Redirect::temporary("/flags")))
        // `evaluate` may be a flag's key as well.
        .route("/flags/evaluate", one().post(bulk::evaluate))
        .route("/flags/{key}", one())
        .route("/flags/{key}/", get(without_slash))
        .route("/flags/{key}/evaluate", post(evaluate::evaluate))
}

async fn without_slash(request: axum::extract::Request) -> Redirect {
    Redirect::temporary(request.uri().path().trim_end_matches('/'))
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

    /// Writes a flag, or removes it, and waits a moment until this gateway serves the change.
    async fn write(
        &self,
        key: &str,
        document: Option<&FlagDocument>,
        expected: Expected,
    ) -> Result<Written, StoreError> {
        let text = document.map(|document| Arc::from(document.to_text()));
        let document = DocumentKey::flag(key);
        let write = Write { document, text, expected, actor: ANYONE.to_owned(), at: clock::now(), fence: None };
        let written = self.documents()?.write(write).await?;
        if !self.sync.applied(&written.world, SERVED_WITHIN).await {
            log::warn!("admin: the change of {key:?} is stored but not yet served after {SERVED_WITHIN:?}");
        }
        Ok(written)
    }
}

/// The document of a stored flag.
fn document_of(stored: Option<&Stored>) -> Result<FlagDocument, Refusal> {
    let stored = stored.ok_or_else(|| Refusal::not_found("Flag not found"))?;
    FlagDocument::parse(&stored.text).map_err(|fault| {
        Refusal::conflict(format!(
            "the stored document is damaged ({}); /diagnostics tells more; delete it or write it anew",
            fault.message
        ))
    })
}

/// Refuses a document that would not be read again.
pub(super) fn check_size(document: &FlagDocument) -> Result<(), Refusal> {
    let bytes = document.to_text().len();
    if bytes <= MAX_DOCUMENT_BYTES {
        return Ok(());
    }
    let detail = format!("the flag would be {bytes} bytes long; at most {MAX_DOCUMENT_BYTES} are possible");
    Err(Refusal::Status(axum::http::StatusCode::PAYLOAD_TOO_LARGE, detail))
}

/// `{"success": true}`.
fn success() -> Map<String, Value> {
    Map::from_iter([("success".to_owned(), true.into())])
}
