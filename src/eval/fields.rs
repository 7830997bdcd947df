//! Reading the fields of a flag document, with a fault for each that is not what it should be.

use serde_json::{Map, Value};

use super::json::number_of;
use crate::model::{Effect, Fault, did_you_mean};

/// The fields that a flag may have.
pub(crate) const FLAG_FIELDS: [&str; 31] = [
    "key",
    "name",
    "description",
    "flag_type",
    "default_value",
    "enabled",
    "targeting_enabled",
    "targeting_rules",
    "rollout_enabled",
    "rollout_percentage",
    "rollout_stages",
    "prerequisites",
    "variants",
    "tags",
    "created_at",
    "updated_at",
    "created_by",
    "value_schema",
    "split",
    "bucket_by",
    "salt",
    "hash",
    "off_variant",
    "targets",
    "parent",
    "kind",
    "owner",
    "expires_at",
    "permanent",
    "environments",
    "updated_by",
];

/// The fields that a rule may have.
pub(crate) const RULE_FIELDS: [&str; 15] = [
    "attribute",
    "operator",
    "value",
    "negate",
    "ignore_case",
    "otherwise",
    "conditions",
    "segments",
    "return_value",
    "variant",
    "percentage",
    "split",
    "bucket_by",
    "salt",
    "hash",
];

/// The fields that a rule may have besides, for people to read.
pub(crate) const RULE_NOTES: [&str; 2] = ["id", "description"];

/// The fields that a rollout stage may have.
pub(crate) const STAGE_FIELDS: [&str; 4] = ["percentage", "value", "start_time", "end_time"];

/// The faults found so far, and the object that is being read.
pub(crate) struct Reader<'d> {
    pub(crate) fields: &'d Map<String, Value>,
    pub(crate) faults: Vec<Fault>,
}

impl<'d> Reader<'d> {
    pub(crate) fn new(fields: &'d Map<String, Value>) -> Self {
        Self { fields, faults: Vec::new() }
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, effect: Effect, pointer: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault { pointer: pointer.into(), message: message.into(), effect });
    }

    /// A field that is there and not null.
    pub(crate) fn get(&self, name: &str) -> Option<&'d Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A field of one type; absent or null is `None`, and so is one of another type, with a fault.
    pub(crate) fn typed<T>(
        &mut self,
        name: &str,
        effect: Effect,
        wanted: &str,
        read: impl FnOnce(&'d Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(name)?;
        let read = read(value);
        if read.is_none() {
            self.fault(effect, format!("/{name}"), format!("expected {wanted}, found {}", describe(value)));
        }
        read
    }

    pub(crate) fn boolean(&mut self, name: &str, default: bool) -> bool {
        self.typed(name, Effect::Quarantined, "true or false", Value::as_bool).unwrap_or(default)
    }

    pub(crate) fn array(&mut self, name: &str) -> &'d [Value] {
        self.typed(name, Effect::Quarantined, "an array", Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn text(&mut self, name: &str, effect: Effect) -> Option<&'d str> {
        self.typed(name, effect, "a string", Value::as_str)
    }

    /// A percentage, 0 to 100.
    pub(crate) fn percentage(&mut self, name: &str, effect: Effect, default: f64) -> f64 {
        let read =
            |value: &Value| number_of(value).filter(|number| (0.0..=100.0).contains(number) && value.is_number());
        self.typed(name, effect, "a number from 0 to 100", read).unwrap_or(default)
    }

    /// Faults for names that are not among the known ones.
    pub(crate) fn only(&mut self, at: &str, fields: &Map<String, Value>, known: &[&str], effect: Effect) {
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let hint = did_you_mean(name, known.iter().copied());
            self.fault(effect, format!("{at}/{}", escape(name)), format!("unknown field {name:?}{hint}"));
        }
    }
}

/// A name as a part of a JSON pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A value in a message: short, with its type.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.chars().count() <= 40 => format!("the string {text:?}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
