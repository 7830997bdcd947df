//! What a client gets first: how everything is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ahash::AHashSet;
use axum::extract::ws::Utf8Bytes;
use serde_json::{Value, json};

use super::{
    hub::LONGEST_KEY,
    message::{Keys, Kind},
};
use crate::{
    delivery::plan::Status,
    model::WorldRevision,
    snapshot::{Snapshot, SnapshotCell},
};

/// The size of the items of one message; more are told in several.
const PART_BYTES: usize = 48 << 10;

/// A longer text is no time, nor a type.
const LONGEST: usize = 64;

/// Encodes the state of the world; that of everything is encoded once for all who ask at one revision.
#[derive(Debug)]
pub(super) struct States {
    cell: SnapshotCell,
    whole: Mutex<BTreeMap<Kind, State>>,
}

/// The state at one revision, in messages.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) revision: Option<WorldRevision>,
    pub(super) parts: Arc<[Utf8Bytes]>,
}

impl States {
    pub(super) fn new(cell: SnapshotCell) -> Self {
        Self { cell, whole: Mutex::default() }
    }

    /// The documents of a kind that are served now.
    pub(super) fn of(&self, kind: Kind, keys: &Keys) -> State {
        let snapshot = self.cell.load();
        let revision = snapshot.revision().cloned();
        if let Some(keys) = keys {
            let items = items(&snapshot, kind, keys);
            return encode(kind, revision, items);
        }
        // Held while encoding, so that all who come at once wait for one encoding.
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = whole.get(&kind).filter(|state| state.revision == revision) {
            return state.clone();
        }
        let state = encode(kind, revision, all(&snapshot, kind));
        whole.insert(kind, state.clone());
        state
    }
}

/// All documents of a kind: flags and models by what they are called, segments as they are listed.
fn all(snapshot: &Snapshot, kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Flags => snapshot.keys().filter_map(|key| flag(snapshot, key)).collect(),
        Kind::Segments => snapshot.segments().filter_map(|(_, of)| segment(snapshot, of.id())).collect(),
        Kind::Models => snapshot.models().filter_map(|id| model(snapshot, id)).collect(),
        Kind::KillSwitches => snapshot.kill_switches().filter_map(|of| kill_switch(snapshot, of.id())).collect(),
        Kind::Deployments => snapshot.deployments().filter_map(|of| deployment(snapshot, of.id())).collect(),
        Kind::Traffic => Vec::new(),
    }
}

fn items(snapshot: &Snapshot, kind: Kind, keys: &AHashSet<Box<str>>) -> Vec<Value> {
    let mut wanted: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
    wanted.sort_unstable();
    match kind {
        Kind::Flags => wanted.into_iter().filter_map(|key| flag(snapshot, key)).collect(),
        Kind::Segments => wanted.into_iter().filter_map(|id| segment(snapshot, id)).collect(),
        Kind::Models => wanted.into_iter().filter_map(|id| model(snapshot, id)).collect(),
        Kind::KillSwitches => wanted.into_iter().filter_map(|id| kill_switch(snapshot, id)).collect(),
        Kind::Deployments => wanted.into_iter().filter_map(|id| deployment(snapshot, id)).collect(),
        Kind::Traffic => Vec::new(),
    }
}

fn flag(snapshot: &Snapshot, key: &str) -> Option<Value> {
    let document = snapshot.document(key).filter(|_| key.len() <= LONGEST_KEY)?;
    Some(json!({
        "key": key,
        "enabled": document.fields().get("enabled").and_then(Value::as_bool).unwrap_or(true),
        "updated_at": short(document.fields().get("updated_at")),
    }))
}

fn segment(snapshot: &Snapshot, id: &str) -> Option<Value> {
    let document = snapshot.segment_document(id).filter(|_| id.len() <= LONGEST_KEY)?.complete();
    Some(json!({
        "id": id,
        "type": short(document.get("type")),
        "priority": document.get("priority").and_then(Value::as_i64),
        "updated_at": short(document.get("updated_at")),
    }))
}

fn deployment(snapshot: &Snapshot, id: &str) -> Option<Value> {
    let document = snapshot.deployment(id).filter(|_| id.len() <= LONGEST_KEY)?;
    let status = Status::read(document.fields().get("status")).unwrap_or_default();
    let runs = status.stages.iter().find(|stage| stage.state.is_running() && stage.name.len() <= LONGEST);
    Some(json!({
        "id": id,
        "state": status.state,
        "epoch": status.epoch,
        "version": short(document.fields().get("version")),
        "stage": runs.map(|stage| &stage.name),
        "updated_at": short(document.fields().get("updated_at")),
    }))
}

fn model(snapshot: &Snapshot, id: &str) -> Option<Value> {
    let document = snapshot.model_document(id).filter(|_| id.len() <= LONGEST_KEY)?.fields();
    Some(json!({
        "id": id,
        "kind": short(document.get("kind")),
        "trained_at": short(document.get("trained_at")),
    }))
}

fn kill_switch(snapshot: &Snapshot, id: &str) -> Option<Value> {
    let document = snapshot.kill_switch(id).filter(|_| id.len() <= LONGEST_KEY)?;
    let status = document.status().unwrap_or_default();
    Some(json!({
        "id": id,
        "scope": short(document.fields().get("scope")).unwrap_or("feature"),
        "state": status.state,
        "since": status.since,
        "percentage": status.recovery.map(|recovery| recovery.percentage),
        "updated_at": short(document.fields().get("updated_at")),
    }))
}

/// A text that is not so long that it could not be what it should.
fn short(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).filter(|text| text.len() <= LONGEST)
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
