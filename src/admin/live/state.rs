//! What a client gets first: how everything is.

use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHashSet;
use axum::extract::ws::Utf8Bytes;
use serde_json::{Value, json};

use super::{
    hub::LONGEST_KEY,
    message::{Keys, Kind},
};
use crate::{
    model::WorldRevision,
    snapshot::{Snapshot, SnapshotCell},
};

/// The size of the items of one message; more are told in several.
const PART_BYTES: usize = 48 << 10;

/// A longer text is no time.
const LONGEST_TIME: usize = 64;

/// Encodes the state of the world; that of everything is encoded once for all who ask at one revision.
#[derive(Debug)]
pub(super) struct States {
    cell: SnapshotCell,
    whole: Mutex<Option<State>>,
}

/// The state at one revision, in messages.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) revision: Option<WorldRevision>,
    pub(super) parts: Arc<[Utf8Bytes]>,
}

impl States {
    pub(super) fn new(cell: SnapshotCell) -> Self {
        Self { cell, whole: Mutex::new(None) }
    }

    /// The documents of a kind that are served now.
    pub(super) fn of(&self, kind: Kind, keys: &Keys) -> State {
        match kind {
            Kind::Flags => self.flags(keys.as_ref()),
            Kind::Deployments | Kind::KillSwitches | Kind::Traffic | Kind::Segments => encode(kind, None, Vec::new()),
        }
    }

    fn flags(&self, keys: Option<&AHashSet<Box<str>>>) -> State {
        let snapshot = self.cell.load();
        let revision = snapshot.revision().cloned();
        if let Some(keys) = keys {
            let mut wanted: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
            wanted.sort_unstable();
            return encode(Kind::Flags, revision, wanted.into_iter().filter_map(|key| flag(&snapshot, key)).collect());
        }
        // Held while encoding, so that all who come at once wait for one encoding.
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = whole.as_ref().filter(|state| state.revision == revision) {
            return state.clone();
        }
        let flags = snapshot.keys().filter_map(|key| flag(&snapshot, key)).collect();
        let state = encode(Kind::Flags, revision, flags);
        *whole = Some(state.clone());
        state
    }
}

fn flag(snapshot: &Snapshot, key: &str) -> Option<Value> {
    let document = snapshot.document(key).filter(|_| key.len() <= LONGEST_KEY)?;
    let field = |name: &str| document.fields().get(name);
    Some(json!({
        "key": key,
        "enabled": field("enabled").and_then(Value::as_bool).unwrap_or(true),
        "updated_at": field("updated_at").and_then(Value::as_str).filter(|time| time.len() <= LONGEST_TIME),
    }))
}

/// Each item is small, so that each part is.
fn encode(kind: Kind, revision: Option<WorldRevision>, items: Vec<Value>) -> State {
    let mut parts: Vec<Vec<Value>> = vec![Vec::new()];
    let mut bytes = 0;
    for item in items {
        let size = item.to_string().len() + 1;
        if bytes + size > PART_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        parts.last_mut().expect("there is one from the beginning").push(item);
    }
    let (named, of) = (revision.as_ref().map(ToString::to_string), parts.len());
    let told = parts.into_iter().enumerate().map(|(position, items)| {
        let told = json!({
            "type": "snapshot",
            "kind": kind,
            "revision": named,
            "part": position + 1,
            "parts": of,
            kind.as_str(): items,
        });
        told.to_string().into()
    });
    State { revision, parts: told.collect() }
}
