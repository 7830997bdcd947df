//! Documents as they are: an array of flags, `{"flags": [...], "segments": [...], "models": [...]}` as exported, or a single one.

use serde_json::{Map, Value};

use super::{ImportedDocument, ImportedFlag, Names, Reading};
use crate::model::{Fault, FlagDocument, ModelDocument, SegmentDocument};

/// What may stand beside the documents.
const BESIDE: [&str; 2] = ["damaged", "$schema"];

/// Reads one document, which stands at a pointer.
type ReadOne = fn(String, &Value, &mut Reading);

/// The kinds of documents.
const KINDS: [(&str, ReadOne); 3] = [("flags", flag), ("segments", segment), ("models", model)];

pub(super) fn read(source: &Value, reading: &mut Reading) {
    match source {
        Value::Array(flags) => all("", flags, flag, reading),
        Value::Object(fields) if KINDS.iter().any(|(name, _)| fields.contains_key(*name)) => {
            let known = |name: &&String| KINDS.iter().any(|(kind, _)| kind == name) || BESIDE.contains(&name.as_str());
            for name in fields.keys().filter(|name| !known(name)) {
                reading.fault(format!("/{name}"), format!("unknown field {name:?} beside the documents"));
            }
            let named = |name| fields.contains_key(name);
            reading.names = Names { flags: named("flags"), segments: named("segments"), models: named("models") };
            for (name, one) in KINDS {
                match fields.get(name).map(Value::as_array) {
                    Some(Some(documents)) => all(&format!("/{name}"), documents, one, reading),
                    Some(None) => reading.fault(format!("/{name}"), "expected an array of documents"),
                    None => {}
                }
            }
        }
        Value::Object(fields) if fields.contains_key("key") => flag(String::new(), source, reading),
        // A model says of what kind it is, and what it looks at.
        Value::Object(fields) if ["id", "kind", "feature_columns"].iter().all(|name| fields.contains_key(*name)) => {
            reading.names = Names { models: true, ..Names::default() };
            model(String::new(), source, reading);
        }
        Value::Object(fields) if fields.contains_key("id") => {
            reading.names = Names { segments: true, ..Names::default() };
            segment(String::new(), source, reading);
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let expected = "an array of flag documents, or {\"flags\": [...], \"segments\": [...], \"models\": [...]}";
            reading.fault("", format!("expected {expected}"));
        }
    }
}

fn all(at: &str, documents: &[Value], one: ReadOne, reading: &mut Reading) {
    for (position, document) in documents.iter().enumerate() {
        one(format!("{at}/{position}"), document, reading);
    }
}

fn flag(pointer: String, flag: &Value, reading: &mut Reading) {
    if let Some((pointer, document)) = read_one("flag", pointer, flag, FlagDocument::from_map, reading) {
        reading.flags.push(ImportedFlag { pointer, name: document.key().to_owned(), document });
    }
}

fn segment(pointer: String, segment: &Value, reading: &mut Reading) {
    if let Some((pointer, document)) = read_one("segment", pointer, segment, SegmentDocument::from_map, reading) {
        reading.segments.push(ImportedDocument { pointer, document });
    }
}

fn model(pointer: String, model: &Value, reading: &mut Reading) {
    if let Some((pointer, document)) = read_one("model", pointer, model, ModelDocument::from_map, reading) {
        reading.models.push(ImportedDocument { pointer, document });
    }
}

/// A document with its place; what is wrong with it is noted.
fn read_one<D>(
    word: &str,
    pointer: String,
    value: &Value,
    read: fn(Map<String, Value>) -> Result<D, Fault>,
    reading: &mut Reading,
) -> Option<(String, D)> {
    let Value::Object(fields) = value else {
        reading.fault(pointer, format!("a {word} is an object"));
        return None;
    };
    match read(fields.clone()) {
        Ok(document) => Some((pointer, document)),
        Err(fault) => {
            reading.fault(format!("{pointer}{}", fault.pointer), fault.message);
            None
        }
    }
}
