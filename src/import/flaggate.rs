//! Documents as they are: an array of flags, `{"flags": [...], "segments": [...]}` as exported, or a single one.

use serde_json::Value;

use super::{ImportedFlag, ImportedSegment, Names, Reading};
use crate::model::{FlagDocument, SegmentDocument};

/// What may stand beside the documents.
const BESIDE: [&str; 2] = ["damaged", "$schema"];

/// Reads one document, which stands at a pointer.
type ReadOne = fn(String, &Value, &mut Reading);

/// The kinds of documents.
const KINDS: [(&str, ReadOne); 2] = [("flags", flag), ("segments", segment)];

pub(super) fn read(source: &Value, reading: &mut Reading) {
    match source {
        Value::Array(flags) => all("", flags, flag, reading),
        Value::Object(fields) if KINDS.iter().any(|(name, _)| fields.contains_key(*name)) => {
            let known = |name: &&String| KINDS.iter().any(|(kind, _)| kind == name) || BESIDE.contains(&name.as_str());
            for name in fields.keys().filter(|name| !known(name)) {
                reading.fault(format!("/{name}"), format!("unknown field {name:?} beside the documents"));
            }
            reading.names = Names { flags: fields.contains_key("flags"), segments: fields.contains_key("segments") };
            for (name, one) in KINDS {
                match fields.get(name).map(Value::as_array) {
                    Some(Some(documents)) => all(&format!("/{name}"), documents, one, reading),
                    Some(None) => reading.fault(format!("/{name}"), "expected an array of documents"),
                    None => {}
                }
            }
        }
        Value::Object(fields) if fields.contains_key("key") => flag(String::new(), source, reading),
        Value::Object(fields) if fields.contains_key("id") => {
            reading.names = Names { flags: false, segments: true };
            segment(String::new(), source, reading);
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            reading.fault("", "expected an array of flag documents, or {\"flags\": [...], \"segments\": [...]}");
        }
    }
}

fn all(at: &str, documents: &[Value], one: ReadOne, reading: &mut Reading) {
    for (position, document) in documents.iter().enumerate() {
        one(format!("{at}/{position}"), document, reading);
    }
}

fn flag(pointer: String, flag: &Value, reading: &mut Reading) {
    let Value::Object(fields) = flag else {
        return reading.fault(pointer, "a flag is an object");
    };
    match FlagDocument::from_map(fields.clone()) {
        Ok(document) => reading.flags.push(ImportedFlag { pointer, name: document.key().to_owned(), document }),
        Err(fault) => reading.fault(format!("{pointer}{}", fault.pointer), fault.message),
    }
}

fn segment(pointer: String, segment: &Value, reading: &mut Reading) {
    let Value::Object(fields) = segment else {
        return reading.fault(pointer, "a segment is an object");
    };
    match SegmentDocument::from_map(fields.clone()) {
        Ok(document) => reading.segments.push(ImportedSegment { pointer, document }),
        Err(fault) => reading.fault(format!("{pointer}{}", fault.pointer), fault.message),
    }
}
