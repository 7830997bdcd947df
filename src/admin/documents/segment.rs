//! Segments as documents that people write.

use serde_json::{Map, Value};

use super::{Document, Null};
use crate::{
    admin::{form::Kind, refusal::Issue},
    eval,
    model::{DocumentKind, Fault, SegmentDocument},
    snapshot::Snapshot,
};

/// What stands below `/segments` for something else.
const RESERVED: [&str; 2] = ["evaluate", "overlap"];

impl Document for SegmentDocument {
    const KIND: DocumentKind = DocumentKind::Segment;
    const WORD: &'static str = "segment";
    const NOT_FOUND: &'static str = "Segment not found";
    const NAMED_BY: &'static str = "id";
    const TOLD_AS: &'static str = "segment_id";
    const FIELDS: &'static [(&'static str, Kind, Null)] = &[
        ("description", Kind::Text, Null::Absent),
        ("type", Kind::Text, Null::Refused),
        ("rules", Kind::Objects, Null::Refused),
        ("parent_segments", Kind::Texts, Null::Refused),
        ("exclusion_segments", Kind::Texts, Null::Refused),
        ("ml_model_id", Kind::Text, Null::Absent),
        ("feature_columns", Kind::Texts, Null::Refused),
        ("expression", Kind::Text, Null::Absent),
        ("tags", Kind::Texts, Null::Refused),
        ("created_by", Kind::Text, Null::Absent),
    ];
    const WORKED_OUT: &'static [&'static str] = &["estimated_size", "last_computed"];

    fn complete(&self) -> Map<String, Value> {
        self.complete()
    }

    fn faults(&self, snapshot: &Snapshot) -> Vec<Fault> {
        snapshot.check_segment(self)
    }

    fn rests_on(&self) -> Vec<String> {
        eval::segment_references(self.fields()).into_iter().map(|(_, id)| id).collect()
    }

    fn issue(fields: &Map<String, Value>) -> Option<Issue> {
        let id = fields.get("id").and_then(Value::as_str).filter(|id| RESERVED.contains(id))?;
        Some(
            Issue::of_body(format!("no segment can be called {id:?}: /segments/{id} is something else"), "value_error")
                .at("id"),
        )
    }
}
