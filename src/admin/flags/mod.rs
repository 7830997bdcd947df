//! `/flags`: the existing service's endpoints, and `DELETE`.

mod bulk;
mod create;
mod delete;
pub(super) mod document;
mod evaluate;
mod get;
mod list;
mod patch;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    response::Redirect,
    routing::{get, post},
};
use serde_json::{Map, Value};

use super::{Admin, acknowledge::WaitFor, body::Body, refusal::Refusal};
use crate::{
    clock,
    model::{DocumentKey, FlagDocument, MAX_DOCUMENT_BYTES},
    store::{Expected, Store, StoreError, Stored, Write, Written},
};

/// Who writes, as long as there are no tokens.
pub(super) const ANYONE: &str = "anonymous";

/// How long a write waits until this gateway serves it.
const SERVED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// How often a change is tried again when another writer was faster.
const TRIES: usize = 8;

pub(super) fn router() -> Router<Admin> {
    // `evaluate` may be a flag's key as well.
    let own = || Path("evaluate".to_owned());
    Router::new()
        .route("/flags", post(create::create).get(list::list))
        .route("/flags/", get(async || Redirect::temporary("/flags")))
        .route(
            "/flags/evaluate",
            post(bulk::evaluate)
                .get(move |admin: State<Admin>| get::get(admin, own()))
                .patch(move |admin: State<Admin>, wait: WaitFor, body: Body| patch::patch(admin, own(), wait, body))
                .delete(move |admin: State<Admin>, wait: WaitFor| delete::delete(admin, own(), wait)),
        )
        .route("/flags/{key}", get(get::get).patch(patch::patch).delete(delete::delete))
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

    /// A stored flag and its document.
    async fn stored(&self, key: &str) -> Result<(Stored, FlagDocument), Refusal> {
        let stored = self.documents()?.get(&DocumentKey::flag(key)).await?;
        let stored = stored.ok_or_else(|| Refusal::not_found("Flag not found"))?;
        match FlagDocument::parse(&stored.text) {
            Ok(document) => Ok((stored, document)),
            Err(fault) => Err(Refusal::conflict(format!(
                "the stored document is damaged ({}); /diagnostics tells more; delete it or write it anew",
                fault.message
            ))),
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
        let write = Write { document, text, expected, actor: ANYONE.to_owned(), at: clock::now() };
        let written = self.documents()?.write(write).await?;
        if !self.sync.applied(&written.world, SERVED_WITHIN).await {
            log::warn!("admin: the change of {key:?} is stored but not yet served after {SERVED_WITHIN:?}");
        }
        Ok(written)
    }
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
