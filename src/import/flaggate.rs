//! Flag documents as they are: an array, `{"flags": [...]}` as exported, or a single one.

use serde_json::Value;

use super::{ImportedFlag, Reading};
use crate::model::FlagDocument;

/// What may stand beside the flags.
const BESIDE: [&str; 3] = ["flags", "damaged", "$schema"];

pub(super) fn read(source: &Value, reading: &mut Reading) {
    match source {
        Value::Array(flags) => all("", flags, reading),
        Value::Object(fields) if fields.contains_key("flags") => {
            for name in fields.keys().filter(|name| !BESIDE.contains(&name.as_str())) {
                reading.fault(format!("/{name}"), format!("unknown field {name:?} beside the flags"));
            }
            match fields.get("flags").and_then(Value::as_array) {
                Some(flags) => all("/flags", flags, reading),
                None => reading.fault("/flags", "expected an array of flag documents"),
            }
        }
        Value::Object(fields) if fields.contains_key("key") => one(String::new(), source, reading),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            reading.fault("", "expected an array of flag documents, or {\"flags\": [...]}");
        }
    }
}

fn all(at: &str, flags: &[Value], reading: &mut Reading) {
    for (position, flag) in flags.iter().enumerate() {
        one(format!("{at}/{position}"), flag, reading);
    }
}

fn one(pointer: String, flag: &Value, reading: &mut Reading) {
    let Value::Object(fields) = flag else {
        return reading.fault(pointer, "a flag is an object");
    };
    match FlagDocument::from_map(fields.clone()) {
        Ok(document) => reading.flags.push(ImportedFlag { pointer, name: document.key().to_owned(), document }),
        Err(fault) => reading.fault(format!("{pointer}{}", fault.pointer), fault.message),
    }
}
