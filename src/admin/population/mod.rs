//! Questions about all users: how many are in a segment, in which together, and working it out for each of them anew.

mod ask;
mod estimate;
mod overlap;
mod recompute;

use axum::middleware;
use jiff::Timestamp;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, access::Caller, documents::SERVED_WITHIN, problem::as_problems, refusal::Refusal};
use crate::{
    clock,
    eval::SegmentIndex,
    model::{Context, DocumentKey, NoAttributes, SegmentDocument, WithProfile},
    snapshot::Snapshot,
    store::{Expected, StoreError, StoredProfile, Write},
};

pub use recompute::Recomputes;

/// How many profiles are read at once.
const PAGE: usize = 500;

/// How often a size is written anew because others change the segment meanwhile.
const TRIES: usize = 10;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(estimate::estimate))
        .routes(routes!(overlap::overlap))
        .routes(routes!(recompute::start, recompute::progress, recompute::stop))
        .layer(middleware::map_response(as_problems))
}

/// Finds a segment among those that are served.
fn find(snapshot: &Snapshot, id: &str) -> Result<SegmentIndex, Refusal> {
    snapshot.segment(id).ok_or_else(|| Refusal::not_found(format!("there is no segment {id:?}")))
}

/// Asks something of what is stored of one user.
fn of_stored<T>(user_id: &str, stored: &StoredProfile, now: Timestamp, ask: impl FnOnce(Context<'_>) -> T) -> T {
    let attributes = WithProfile::new(&NoAttributes, Some(&stored.profile));
    ask(Context { user_id, attributes: &attributes, now })
}

impl Admin {
    /// Writes into a segment how many are in it, and when that was worked out. Nothing else of it changes, whoever changes
    /// that meanwhile.
    async fn note_size(&self, caller: &Caller, id: &str, size: u64) -> Result<(), Refusal> {
        let document = DocumentKey::segment(id);
        for _ in 0..TRIES {
            let store = self.documents()?;
            let Some(stored) = store.get(&document).await? else { return Ok(()) };
            // One that cannot be read is nobody's to write over.
            let Ok(segment) = SegmentDocument::parse(&stored.text) else { return Ok(()) };
            let (mut fields, now) = (segment.fields().clone(), clock::now());
            fields.insert("estimated_size".to_owned(), size.into());
            fields.insert("last_computed".to_owned(), now.to_string().into());
            let write = Write {
                document: document.clone(),
                text: Some(Value::Object(fields).to_string().into()),
                expected: Expected::Revision(stored.revision),
                actor: caller.name.to_string(),
                at: now,
                fence: None,
            };
            match store.write(write).await {
                Ok(written) => {
                    self.sync.applied(&written.world, SERVED_WITHIN).await;
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::conflict(format!("others change the segment {id:?} all the time; try again")))
    }
}
