//! The flag document: a JSON object, kept as it came, unknown fields included.

use serde_json::{Map, Value, json};

use super::document::document;

document! {
    /// A flag as stored: only the fields that were set, in their order. [`FlagDocument::complete`] fills in the rest.
    FlagDocument, a "flag", called by key, or of_key alone
}

impl FlagDocument {
    /// The document with the existing service's eighteen fields in their order, defaults filled in, then the
    /// extensions and unknown fields that were set.
    #[must_use]
    pub fn complete(&self) -> Map<String, Value> {
        let mut whole = kept_defaults();
        whole.extend(self.0.iter().map(|(name, value)| (name.clone(), value.clone())));
        if let Some(percentage) = whole.get_mut("rollout_percentage") {
            if !self.0.contains_key("rollout_percentage") && self.0.contains_key("split") {
                *percentage = json!(100.0);
            } else if let Some(number) = percentage.as_f64() {
                *percentage = json!(number);
            }
        }
        whole
    }
}

/// The fields of the existing service's documents, in their order, with what it takes when they are absent.
fn kept_defaults() -> Map<String, Value> {
    let fields: [(&str, Value); 18] = [
        ("key", Value::Null),
        ("name", Value::Null),
        ("description", Value::Null),
        ("flag_type", json!("boolean")),
        ("default_value", json!(false)),
        ("enabled", json!(true)),
        ("targeting_enabled", json!(false)),
        ("targeting_rules", json!([])),
        ("rollout_enabled", json!(false)),
        ("rollout_percentage", json!(0.0)),
        ("rollout_stages", json!([])),
        ("prerequisites", json!([])),
        ("variants", json!({})),
        ("tags", json!([])),
        ("created_at", Value::Null),
        ("updated_at", Value::Null),
        ("created_by", Value::Null),
        ("value_schema", Value::Null),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Effect, MAX_DOCUMENT_BYTES};

    #[test]
    fn reads_objects_with_a_key_only() {
        for (text, pointer) in [
            ("", ""),
            ("[]", ""),
            ("{", ""),
            ("{}", "/key"),
            (r#"{"key": 1}"#, "/key"),
            (&format!(r#"{{"key": "a", "x": {}1{}}}"#, "[".repeat(32), "]".repeat(32)), ""),
            (&format!(r#"{{"key": "{}"}}"#, "a".repeat(MAX_DOCUMENT_BYTES)), ""),
        ] {
            let fault = FlagDocument::parse(text).unwrap_err();
            assert_eq!((fault.pointer.as_str(), fault.effect), (pointer, Effect::Quarantined), "{}", fault.message);
        }
        assert_eq!(FlagDocument::parse(r#"{"key": "a"}"#).unwrap().key(), "a");
    }

    #[test]
    fn completes_in_the_order_of_the_existing_service() {
        let document =
            FlagDocument::parse(r#"{"zz": 1, "tags": ["t"], "key": "a", "rollout_percentage": 50}"#).unwrap();
        let whole = Value::Object(document.complete()).to_string();
        assert!(whole.starts_with(r#"{"key":"a","name":null,"description":null,"flag_type":"boolean""#), "{whole}");
        assert!(whole.contains(r#""rollout_percentage":50.0"#), "{whole}");
        assert!(whole.ends_with(r#""created_by":null,"value_schema":null,"zz":1}"#), "{whole}");
        assert_eq!(document.to_text(), r#"{"zz":1,"tags":["t"],"key":"a","rollout_percentage":50}"#);
    }
}
