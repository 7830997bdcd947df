//! What changed between two versions of a document.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A field that every write sets, so that it says nothing.
const SILENT: &str = "updated_at";

/// One place where two versions differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// JSON pointer (RFC 6901) to the place.
    pub pointer: String,
    /// The value before; absent when there was none. JSON's null is a value.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub before: Option<Value>,
    /// The value after; absent when there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub after: Option<Value>,
}

/// The places where two versions of a document differ, in the order of the fields; the time of the last change is left
/// out. Objects are compared field by field, and arrays of one length item by item; other arrays differ as a whole.
#[must_use]
pub fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Difference> {
    let mut found = Vec::new();
    fields("", before, after, &mut found);
    found.retain(|difference| difference.pointer.strip_prefix('/') != Some(SILENT));
    found
}

fn fields(at: &str, before: &Map<String, Value>, after: &Map<String, Value>, found: &mut Vec<Difference>) {
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    found.extend(gone.map(|(name, value)| Difference {
        pointer: below(at, name),
        before: Some(value.clone()),
        after: None,
    }));
    for (name, after) in after {
        value(below(at, name), before.get(name), after, found);
    }
}

fn value(pointer: String, before: Option<&Value>, after: &Value, found: &mut Vec<Difference>) {
    match (before, after) {
        (Some(before), after) if before == after => {}
        (Some(Value::Object(before)), Value::Object(after)) => fields(&pointer, before, after, found),
        (Some(Value::Array(before)), Value::Array(after)) if before.len() == after.len() => {
            for (position, (before, after)) in before.iter().zip(after).enumerate() {
                value(format!("{pointer}/{position}"), Some(before), after, found);
            }
        }
        (before, after) => {
            found.push(Difference { pointer, before: before.cloned(), after: Some(after.clone()) });
        }
    }
}

fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Keeps null apart from absence.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(before: Value, after: Value, expected: Value) {
        let found = differences(before.as_object().unwrap(), after.as_object().unwrap());
        assert_eq!(json!(found), expected, "{before} → {after}");
        let read: Vec<Difference> = serde_json::from_value(expected).unwrap();
        assert_eq!(read, found);
    }

    #[test]
    fn names_the_places() {
        check(json!({"a": 1, "updated_at": "x"}), json!({"a": 1, "updated_at": "y"}), json!([]));
        check(
            json!({"a": 1, "gone": null, "same": [1]}),
            json!({"a": 2, "same": [1], "new": null}),
            json!([
                {"pointer": "/gone", "before": null},
                {"pointer": "/a", "before": 1, "after": 2},
                {"pointer": "/new", "after": null},
            ]),
        );
        check(
            json!({"variants": {"a/b": 1, "c": {"updated_at": 1}}, "tags": ["x"]}),
            json!({"variants": {"a/b": 2, "c": {"updated_at": 2}}, "tags": ["x", "y"]}),
            json!([
                {"pointer": "/variants/a~1b", "before": 1, "after": 2},
                {"pointer": "/variants/c/updated_at", "before": 1, "after": 2},
                {"pointer": "/tags", "before": ["x"], "after": ["x", "y"]},
            ]),
        );
        check(
            json!({"rules": [{"value": 1, "negate": true}, 2]}),
            json!({"rules": [{"value": 1}, 3]}),
            json!([
                {"pointer": "/rules/0/negate", "before": true},
                {"pointer": "/rules/1", "before": 2, "after": 3},
            ]),
        );
    }
}
