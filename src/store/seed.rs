//! Documents for a store that never held any.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::model::{DocumentKey, Fault, FlagDocument, SegmentDocument};

use super::{Expected, Store, StoreError, Write};

/// The lists of documents in what an export gives.
const LISTS: [&str; 2] = ["flags", "segments"];

/// Why a store was not seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A document cannot be written; none was.
    #[error("document {position} of the seed: {pointer}: {message}")]
    Document {
        /// Its position, from 0.
        position: usize,
        /// Where in the document, as a JSON pointer; empty for the document itself.
        pointer: String,
        /// What is wrong.
        message: String,
    },
    /// A text is not JSON.
    #[error("{name} is not JSON: {error}")]
    Text {
        /// Which one.
        name: String,
        /// Why not.
        error: serde_json::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The documents of a text: an array of them, `{flags, segments}` as an export gives them, or one.
///
/// # Errors
/// The text, which is called `name`, is not JSON.
pub fn seeds(name: &str, text: &str) -> Result<Vec<Value>, SeedError> {
    let value = serde_json::from_str(text).map_err(|error| SeedError::Text { name: name.to_owned(), error })?;
    let documents = |list| if let Value::Array(documents) = list { documents } else { vec![list] };
    let lists = |fields: &Map<String, Value>| LISTS.iter().any(|name| fields.contains_key(*name));
    Ok(match value {
        Value::Object(mut fields) if lists(&fields) => {
            LISTS.iter().filter_map(|name| fields.shift_remove(*name)).flat_map(documents).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            documents(value)
        }
    })
}

/// Writes documents into a store that was never written to, and says how many. A store with any history, even one whose
/// documents were all removed since, is left alone. All documents are read before the first is written.
///
/// # Errors
/// A document is neither a flag with a key nor a segment with an id, or the store fails.
pub async fn seed_if_empty(
    store: &dyn Store,
    documents: &[Value],
    actor: &str,
    now: Timestamp,
) -> Result<usize, SeedError> {
    let writes = documents
        .iter()
        .enumerate()
        .map(|(position, document)| write(document, actor, now).map_err(|fault| refuse(position, fault)))
        .collect::<Result<Vec<_>, _>>()?;
    let contents = store.load().await?;
    if contents.revision.number != 0 || !contents.documents.is_empty() {
        return Ok(0);
    }
    let mut written = 0;
    for write in writes {
        match store.write(write).await {
            Ok(_) => written += 1,
            // Named twice, or another gateway seeds the same store.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(written)
}

fn write(document: &Value, actor: &str, at: Timestamp) -> Result<Write, Fault> {
    let is_segment = document.get("key").is_none() && document.get("id").is_some();
    let (document, text) = if is_segment {
        let segment = SegmentDocument::parse(&document.to_string())?;
        (DocumentKey::segment(segment.id()), segment.to_text())
    } else {
        let flag = FlagDocument::parse(&document.to_string())?;
        (DocumentKey::flag(flag.key()), flag.to_text())
    };
    Ok(Write {
        document,
        text: Some(Arc::from(text)),
        expected: Expected::Absent,
        actor: actor.to_owned(),
        at,
        fence: None,
    })
}

fn refuse(position: usize, fault: Fault) -> SeedError {
    SeedError::Document { position, pointer: fault.pointer, message: fault.message }
}
