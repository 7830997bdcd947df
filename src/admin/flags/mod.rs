//! `/flags`: the existing service's endpoints, and what they lacked.

mod bulk;
mod change;
mod create;
mod delete;
pub(super) mod document;
pub(super) mod evaluate;
mod get;
mod list;
mod patch;
mod put;
mod rollback;
mod stale;

use std::sync::Arc;

use axum::{
    middleware,
    response::Redirect,
    routing::{get, put},
};
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, access::Caller, problem::as_problems, refusal::Refusal};
use crate::{
    clock,
    model::{DocumentKey, FlagDocument, MAX_DOCUMENT_BYTES},
    store::{Expected, Store, StoreError, Stored, Write, Written},
};

pub(super) use change::Key;
pub(super) use rollback::revision_of;
pub use stale::UsageWatch;

/// How long a write waits until this gateway serves it.
const SERVED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) fn router() -> OpenApiRouter<Admin> {
    let changed = || put(put::put).patch(patch::patch).delete(delete::delete);
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(get::get, put::put, patch::patch, delete::delete))
        .routes(routes!(bulk::evaluate))
        .routes(routes!(evaluate::evaluate))
        .routes(routes!(stale::stale))
        // `evaluate` and `stale` may be flags' keys as well.
        .route("/flags/evaluate", changed().get(get::get))
        .route("/flags/stale", changed())
        .route("/flags/", get(async || Redirect::temporary("/flags")))
        .route("/flags/{key}/", get(without_slash))
        .merge(newer())
}

/// What answers errors as problems.
fn newer() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(rollback::rollback)).layer(middleware::map_response(as_problems))
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
        caller: &Caller,
        key: &str,
        document: Option<&FlagDocument>,
        expected: Expected,
    ) -> Result<Written, StoreError> {
        let text = document.map(|document| Arc::from(document.to_text()));
        let document = DocumentKey::flag(key);
        let write = Write { document, text, expected, actor: caller.name.to_string(), at: clock::now(), fence: None };
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
