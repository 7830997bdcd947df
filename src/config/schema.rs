//! The JSON Schema of the configuration, for editors.

use serde_json::{Map, Value, json};

use super::keys::{Key, Kind, REQUIRED, ROOT, Section};

/// The JSON Schema (2020-12) of the configuration.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = section(&ROOT);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("flaggate configuration");
    schema
}

fn section(section: &Section) -> Value {
    let properties: Map<String, Value> = section.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = section.keys.iter().filter(|key| key.default == REQUIRED).map(|key| key.name).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    schema["description"] = key.doc.into();
    // A default that is JSON as well as TOML is told; the others stand in the documentation.
    if let Ok(default) = serde_json::from_str::<Value>(key.default) {
        schema["default"] = default;
    }
    schema
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Kind::Duration => json!({ "type": "string", "pattern": r"^\s*[0-9.]+\s*(ms|s|m|h|d)$" }),
        Kind::Size => json!({ "type": "string", "pattern": r"^\s*[0-9.]+\s*(B|KiB|MiB|GiB|KB|MB|GB)$" }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::ChoiceOr(choices, table) => json!({ "anyOf": [{ "enum": choices }, section(table)] }),
        Kind::List(item) => json!({ "type": "array", "items": self::kind(item) }),
        Kind::Table(table) => section(table),
        Kind::Map(value) => json!({ "type": "object", "additionalProperties": self::kind(value) }),
    }
}
