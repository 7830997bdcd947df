//! What is refused when a document is written, though one that is loaded works all the same: values of another type than
//! `flag_type`, values that `value_schema` refuses, and descriptive fields of the wrong shape.

use serde_json::{Map, Value};

use super::{
    fields::{Reader, describe, escape},
    operator::parse_time,
};
use crate::model::{Effect, Fault};

/// The types that a flag may have, and how each names its values.
const FLAG_TYPES: [(&str, &str); 4] =
    [("boolean", "true or false"), ("string", "a string"), ("number", "a number"), ("json", "any JSON value")];

/// The values of `kind`.
const KINDS: [&str; 4] = ["release", "experiment", "ops", "permission"];

/// Checks the effective fields of a document that is to be written.
#[must_use]
pub fn check(fields: &Map<String, Value>) -> Vec<Fault> {
    let mut read = Reader::new(fields);
    descriptive(&mut read);
    let flag_type = read.typed("flag_type", Effect::Tolerated, "one of boolean, string, number and json", flag_type);
    if read.faults.iter().all(|fault| fault.pointer != "/flag_type") {
        let (name, wanted) = flag_type.unwrap_or(FLAG_TYPES[0]);
        if name != "boolean" && name != "json" && !fields.contains_key("default_value") {
            read.fault(Effect::Tolerated, "/default_value", format!("a {name} flag needs a default value"));
        }
        for (pointer, value) in values(fields) {
            if !is_of_type(value, name) {
                read.fault(Effect::Tolerated, pointer, format!("expected {wanted}, found {}", describe(value)));
            }
        }
    }
    against_schema(&mut read);
    read.faults
}

fn descriptive(read: &mut Reader<'_>) {
    let all_text = |value: &Value| value.as_array()?.iter().all(Value::is_string).then_some(());
    let time = |value: &Value| parse_time(value.as_str()?);
    if read.get("name").is_none() {
        read.fault(Effect::Tolerated, "/name", "the name is missing");
    }
    for name in ["name", "description", "created_by", "updated_by", "owner"] {
        read.text(name, Effect::Tolerated);
    }
    for name in ["created_at", "updated_at", "expires_at"] {
        read.typed(name, Effect::Tolerated, "a time like \"2026-01-31T12:00:00Z\"", time);
    }
    read.typed("tags", Effect::Tolerated, "an array of strings", all_text);
    read.typed("permanent", Effect::Tolerated, "true or false", Value::as_bool);
    let kind = |value: &Value| KINDS.contains(&value.as_str()?).then_some(());
    read.typed("kind", Effect::Tolerated, "one of release, experiment, ops and permission", kind);
}

/// Every value that the flag can give, with its place. A null rule value counts as absent.
fn values(fields: &Map<String, Value>) -> Vec<(String, &Value)> {
    let mut values: Vec<(String, &Value)> = Vec::new();
    values.extend(fields.get("default_value").map(|value| ("/default_value".to_owned(), value)));
    let variants = fields.get("variants").and_then(Value::as_object).into_iter().flatten();
    values.extend(variants.map(|(name, value)| (format!("/variants/{}", escape(name)), value)));
    for (list, field) in [("targeting_rules", "return_value"), ("rollout_stages", "value")] {
        let entries = fields.get(list).and_then(Value::as_array).into_iter().flatten().enumerate();
        let given = entries.filter_map(|(position, entry)| {
            let value = entry.get(field).filter(|value| !value.is_null())?;
            Some((format!("/{list}/{position}/{field}"), value))
        });
        values.extend(given);
    }
    values
}

fn against_schema(read: &mut Reader<'_>) {
    let Some(schema) = read.get("value_schema") else { return };
    if let Some(reference) = remote_reference(schema) {
        let message = format!("a schema may refer to places within itself only (\"#/…\"), not to {reference:?}");
        return read.fault(Effect::Tolerated, "/value_schema", message);
    }
    let validator = match jsonschema::draft202012::new(schema) {
        Ok(validator) => validator,
        Err(error) => return read.fault(Effect::Tolerated, "/value_schema", format!("not a JSON Schema: {error}")),
    };
    for (pointer, value) in values(read.fields) {
        if let Err(error) = validator.validate(value) {
            read.fault(Effect::Tolerated, pointer, format!("refused by the flag's value_schema: {error}"));
        }
    }
}

/// A `$ref` or `$schema`-like reference that leaves the document.
fn remote_reference(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match (name.as_str(), value) {
            ("$ref" | "$dynamicRef", Value::String(target)) if !target.starts_with('#') => Some(target.as_str()),
            (_, value) => remote_reference(value),
        }),
        Value::Array(items) => items.iter().find_map(remote_reference),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn flag_type(value: &Value) -> Option<(&'static str, &'static str)> {
    FLAG_TYPES.into_iter().find(|(name, _)| value == *name)
}

fn is_of_type(value: &Value, flag_type: &str) -> bool {
    match flag_type {
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(extra: Value) -> Vec<(String, String)> {
        let mut fields = json!({ "key": "a", "name": "A" });
        let Value::Object(extra) = extra else { panic!() };
        fields.as_object_mut().unwrap().extend(extra);
        check(fields.as_object().unwrap()).into_iter().map(|fault| (fault.pointer, fault.message)).collect()
    }

    #[test]
    fn refuses_values_of_another_type() {
        for (fields, pointer, message) in [
            (json!({"default_value": 1}), "/default_value", "expected true or false, found 1"),
            (json!({"default_value": null}), "/default_value", "expected true or false, found null"),
            (json!({"flag_type": "number", "default_value": true}), "/default_value", "expected a number, found true"),
            (json!({"flag_type": "string"}), "/default_value", "a string flag needs a default value"),
            (
                json!({"flag_type": "boool"}),
                "/flag_type",
                "expected one of boolean, string, number and json, found the string \"boool\"",
            ),
            (json!({"variants": {"a/b": 1}}), "/variants/a~1b", "expected true or false, found 1"),
            (
                json!({"targeting_rules": [{}, {"return_value": "x"}]}),
                "/targeting_rules/1/return_value",
                "expected true or false, found the string \"x\"",
            ),
            (json!({"rollout_stages": [{"value": 1}]}), "/rollout_stages/0/value", "expected true or false, found 1"),
            (json!({"tags": [1]}), "/tags", "expected an array of strings, found an array"),
            (
                json!({"created_at": "yesterday"}),
                "/created_at",
                "expected a time like \"2026-01-31T12:00:00Z\", found the string \"yesterday\"",
            ),
            (
                json!({"kind": "x"}),
                "/kind",
                "expected one of release, experiment, ops and permission, found the string \"x\"",
            ),
            (json!({"name": null}), "/name", "the name is missing"),
        ] {
            assert_eq!(faults(fields.clone()), [(pointer.to_owned(), message.to_owned())], "{fields}");
        }
    }

    #[test]
    fn takes_what_is_right() {
        for fields in [
            json!({}),
            json!({"flag_type": "json", "default_value": null, "variants": {"a": 1, "b": "x"}}),
            json!({"flag_type": "number", "default_value": 1.5, "targeting_rules": [{"return_value": null}]}),
            json!({"created_at": "2026-11-24T04:17:03.722341", "kind": "ops", "tags": ["a"], "permanent": true}),
        ] {
            assert_eq!(faults(fields.clone()), [], "{fields}");
        }
    }

    #[test]
    fn values_must_fit_the_schema() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        let flag =
            |value: Value, schema: &Value| json!({"flag_type": "json", "default_value": value, "value_schema": schema});
        assert_eq!(faults(flag(json!({"a": 1}), &schema)), []);
        assert_eq!(faults(flag(json!({"a": "x"}), &schema))[0].0, "/default_value");
        for bad in [
            json!({"type": "objectt"}),
            json!({"$ref": "http://localhost/x.json"}),
            json!({"items": [{"$ref": "file:///etc/passwd"}]}),
        ] {
            assert_eq!(faults(flag(json!(1), &bad))[0].0, "/value_schema", "{bad}");
        }
    }
}
