//! The segment document: a named set of users, kept as it came, unknown fields included.

use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::document::document;

document! {
    /// A segment as stored: only the fields that were set, in their order. [`SegmentDocument::complete`] fills in the rest.
    SegmentDocument, a "segment", called by id, or of_id alone
}

impl SegmentDocument {
    /// The document with the existing service's fields in their order, defaults filled in, then the extensions and
    /// unknown fields that were set. That service wrote times without an offset; they are UTC.
    #[must_use]
    pub fn complete(&self) -> Map<String, Value> {
        let mut whole = kept_defaults();
        whole.extend(self.0.iter().map(|(name, value)| (name.clone(), value.clone())));
        for name in ["created_at", "updated_at", "last_computed"] {
            let text = whole.get(name).and_then(Value::as_str).filter(|text| text.parse::<Timestamp>().is_err());
            let local = text.and_then(|text| text.parse::<civil::DateTime>().ok());
            if let Some(time) = local.and_then(|local| TimeZone::UTC.to_timestamp(local).ok()) {
                whole.insert(name.to_owned(), format!("{time:.6}").into());
            }
        }
        whole
    }
}

/// The fields of the existing service's documents, in their order, with what it takes when they are absent.
fn kept_defaults() -> Map<String, Value> {
    let fields: [(&str, Value); 15] = [
        ("id", Value::Null),
        ("name", Value::Null),
        ("description", Value::Null),
        ("type", json!("rule_based")),
        ("rules", json!([])),
        ("parent_segments", json!([])),
        ("exclusion_segments", json!([])),
        ("ml_model_id", Value::Null),
        ("feature_columns", json!([])),
        ("created_at", Value::Null),
        ("updated_at", Value::Null),
        ("estimated_size", json!(0)),
        ("last_computed", Value::Null),
        ("cache_ttl_seconds", json!(300)),
        ("priority", json!(0)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_in_the_order_of_the_existing_service() {
        let document = SegmentDocument::parse(r#"{"expression": "a OR b", "priority": 3, "id": "s"}"#).unwrap();
        let whole = Value::Object(document.complete()).to_string();
        assert!(
            whole.starts_with(r#"{"id":"s","name":null,"description":null,"type":"rule_based","rules":[]"#),
            "{whole}"
        );
        assert!(whole.ends_with(r#""cache_ttl_seconds":300,"priority":3,"expression":"a OR b"}"#), "{whole}");
    }

    #[test]
    fn times_without_an_offset_are_utc() {
        for (stored, shown) in [
            ("2026-11-24 05:26:11.861692", "2026-11-24T05:26:11.861692Z"),
            ("2026-11-24T05:26:11", "2026-11-24T05:26:11.000000Z"),
            ("2026-11-24T05:26:11.5Z", "2026-11-24T05:26:11.5Z"),
            ("2026-11-24T05:26:11+02:00", "2026-11-24T05:26:11+02:00"),
            ("soon", "soon"),
        ] {
            let document = SegmentDocument::parse(&json!({ "id": "s", "created_at": stored }).to_string()).unwrap();
            assert_eq!(document.complete()["created_at"], shown);
        }
    }

    #[test]
    fn it_names_itself() {
        assert_eq!(SegmentDocument::parse(r#"{"key": "s"}"#).unwrap_err().pointer, "/id");
        assert_eq!(SegmentDocument::parse(r#"{"id": "s"}"#).unwrap().id(), "s");
    }
}
