//! Whose definitions a source holds.

use serde_json::Value;

use super::Format;
use crate::model::{Effect, Fault};

/// Finds the format out.
pub(super) fn format(source: &Value) -> Result<Format, Fault> {
    let found = match source {
        Value::Array(_) => Some(Format::Flaggate),
        Value::Object(fields) => match fields.get("flags") {
            Some(Value::Object(_)) => Some(Format::Flagd),
            Some(Value::Array(flags)) if flags.iter().any(is_flagd) => Some(Format::Flagd),
            Some(_) => Some(Format::Flaggate),
            None if ["key", "id"].iter().any(|name| fields.get(*name).is_some_and(Value::is_string)) => {
                Some(Format::Flaggate)
            }
            None => match (fields.get("features"), fields.get("events")) {
                (Some(Value::Object(_)), _) => Some(Format::Growthbook),
                (Some(Value::Array(_)), _) | (None, Some(Value::Array(_))) => Some(Format::Unleash),
                (None, None)
                    if ["segments", "models"].iter().any(|name| fields.get(*name).is_some_and(Value::is_array)) =>
                {
                    Some(Format::Flaggate)
                }
                _ => None,
            },
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    found.ok_or_else(|| Fault {
        pointer: String::new(),
        message:
            "these are no definitions of a known format; known are documents (an array of flags, or {\"flags\": [...], \
                  \"segments\": [...], \"models\": [...]}), Unleash's features, GrowthBook's features and flagd's flags"
                .to_owned(),
        effect: Effect::Quarantined,
    })
}

/// Whether a flag says what only flagd's say.
fn is_flagd(flag: &Value) -> bool {
    ["state", "defaultVariant", "targeting"].iter().any(|name| flag.get(name).is_some())
}
