//! Flags as documents that people write.

use serde_json::{Map, Value};

use super::{Document, Null};
use crate::{
    admin::{form::Kind, refusal::Issue},
    eval,
    model::{DocumentKind, Fault, FlagDocument},
    snapshot::Snapshot,
};

impl Document for FlagDocument {
    const KIND: DocumentKind = DocumentKind::Flag;
    const WORD: &'static str = "flag";
    const NOT_FOUND: &'static str = "Flag not found";
    const NAMED_BY: &'static str = "key";
    const TOLD_AS: &'static str = "flag_key";
    /// The existing service's fields, in its order.
    const FIELDS: &'static [(&'static str, Kind, Null)] = &[
        ("description", Kind::Text, Null::Absent),
        ("flag_type", Kind::FlagType, Null::Refused),
        ("default_value", Kind::Any, Null::Refused),
        ("enabled", Kind::Boolean, Null::Refused),
        ("targeting_enabled", Kind::Boolean, Null::Refused),
        ("targeting_rules", Kind::Objects, Null::Refused),
        ("rollout_enabled", Kind::Boolean, Null::Refused),
        ("rollout_percentage", Kind::Percentage, Null::Refused),
        ("rollout_stages", Kind::Objects, Null::Refused),
        ("prerequisites", Kind::Any, Null::Refused),
        ("variants", Kind::Object, Null::Refused),
        ("tags", Kind::Texts, Null::Refused),
        ("created_by", Kind::Text, Null::Absent),
        ("value_schema", Kind::Object, Null::Absent),
    ];

    fn complete(&self) -> Map<String, Value> {
        self.complete()
    }

    fn faults(&self, snapshot: &Snapshot) -> Vec<Fault> {
        snapshot.check(self)
    }

    fn rests_on(&self) -> Vec<String> {
        let overrides = self.fields().get("environments").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let partial = std::iter::once(self.fields()).chain(overrides.filter_map(Value::as_object));
        let prerequisites = partial.filter_map(|fields| fields.get("prerequisites")?.as_array()).flatten();
        let parent = self.fields().get("parent").and_then(Value::as_str);
        parent.into_iter().chain(prerequisites.filter_map(eval::prerequisite_key)).map(str::to_owned).collect()
    }

    /// The existing service's words for a default value that is not of the flag's type.
    fn issue(fields: &Map<String, Value>) -> Option<Issue> {
        let value = fields.get("default_value")?;
        let flag_type = fields.get("flag_type").and_then(Value::as_str).unwrap_or("boolean");
        let fits = match flag_type {
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            _ => true,
        };
        let issue = || Issue::of_body(format!("Default value must be {flag_type}"), "value_error").at("default_value");
        (!fits).then(issue)
    }
}
