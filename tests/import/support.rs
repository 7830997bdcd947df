//! Flags and users.

use std::sync::Arc;

use flaggate::{
    model::{Context, DocumentKey, FlagDocument, Reason, WorldRevision},
    snapshot::{Snapshot, World},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The world of these documents; each must be fit to be written.
pub(crate) fn world(documents: &[Value]) -> Arc<Snapshot> {
    let texts = documents
        .iter()
        .map(|document| (DocumentKey::flag(document["key"].as_str().unwrap()), document.to_string().into()));
    let snapshot = World::new(None).load(WorldRevision { epoch: "test".into(), number: 1 }, texts);
    for document in documents {
        let faults = snapshot.check(&FlagDocument::parse(&document.to_string()).unwrap());
        assert!(faults.is_empty(), "{faults:?} in {document:#}");
    }
    snapshot
}

/// What a flag gives: value, variation and reason; `None` if it does not exist.
pub(crate) fn evaluate(
    snapshot: &Snapshot,
    key: &str,
    user_id: &str,
    attributes: &Map<String, Value>,
    now: Timestamp,
) -> Option<(Value, String, Reason)> {
    let context = Context { user_id, attributes, now };
    let found = snapshot.evaluator(context).evaluate(snapshot.flag(key)?)?;
    Some((found.value().clone(), found.variation().to_owned(), found.reason))
}
