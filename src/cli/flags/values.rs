//! `field=value` on the command line, and documents in files.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

/// Fields whose values are text even if they look like JSON: `name=123` is the name "123".
const TEXTS: [&str; 9] =
    ["name", "description", "created_by", "owner", "kind", "salt", "hash", "bucket_by", "off_variant"];

/// One `field=value`: the way to the field, and the value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assignment {
    pub(super) steps: Vec<String>,
    pub(super) value: Value,
}

impl Assignment {
    /// Reads `a.b.0=value`. A value that is JSON counts as such, anything else as text; so does JSON where a text is
    /// wanted, but for null and what is quoted.
    pub(super) fn parse(given: &str) -> Result<Self> {
        let (way, text) = given.split_once('=').with_context(|| {
            format!("{given:?} is not field=value, such as enabled=false or variants.blue='\"#00f\"'")
        })?;
        let steps: Vec<String> = way.split('.').map(str::to_owned).collect();
        if steps.iter().any(String::is_empty) {
            bail!("{way:?} is not a field, nor names of fields with dots between them");
        }
        let value = value(text);
        let is_text = steps.len() == 1 && TEXTS.contains(&steps[0].as_str());
        let value = if is_text && !value.is_null() && !value.is_string() { text.into() } else { value };
        Ok(Self { steps, value })
    }

    /// Sets the value in a document. What stands on the way is made if need be.
    pub(super) fn apply(&self, document: &mut Map<String, Value>) -> Result<()> {
        let Some((last, way)) = self.steps.split_last() else { return Ok(()) };
        let mut whole = Value::Object(std::mem::take(document));
        let mut place = &mut whole;
        for (depth, step) in way.iter().enumerate() {
            place = self.below(place, step, depth)?;
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
        }
        let place = self.below(place, last, way.len())?;
        *place = self.value.clone();
        if let Value::Object(fields) = whole {
            *document = fields;
        }
        Ok(())
    }

    fn below<'v>(&self, place: &'v mut Value, step: &str, depth: usize) -> Result<&'v mut Value> {
        let at = self.steps[..depth].join(".");
        match place {
            Value::Object(fields) => Ok(fields.entry(step).or_insert(Value::Null)),
            Value::Array(items) => {
                let length = items.len();
                let position = step.parse::<usize>().ok().filter(|position| *position <= length);
                let position = position.with_context(|| {
                    format!("{at} has {length} items; {step:?} is neither one of them nor the next")
                })?;
                if position == length {
                    items.push(Value::Null);
                }
                Ok(&mut items[position])
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                bail!("{at} is {place}, so there is nothing below it")
            }
        }
    }
}

/// JSON if it is, else text.
pub(in crate::cli) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// The object in a file: JSON, or YAML by the file's name; `-` is standard input.
pub(in crate::cli) fn file(path: &Path) -> Result<Map<String, Value>> {
    let name = path.display();
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("failed to read standard input")?;
        text
    } else {
        fs::read_to_string(path).with_context(|| format!("failed to read {name}"))?
    };
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    match is_yaml {
        true => serde_saphyr::from_str(&text).with_context(|| format!("{name} is not a YAML object of fields")),
        false => serde_json::from_str(&text).with_context(|| format!("{name} is not a JSON object of fields")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(given: &str, before: Value, after: Option<Value>) {
        let mut document = before.as_object().cloned().unwrap();
        let set = Assignment::parse(given).and_then(|assignment| assignment.apply(&mut document));
        assert_eq!(set.ok().map(|()| Value::Object(document)), after, "{given}");
    }

    #[test]
    fn sets_fields() {
        check("enabled=false", json!({}), Some(json!({"enabled": false})));
        check("name=123", json!({}), Some(json!({"name": "123"})));
        check("name=\"a=b\"", json!({}), Some(json!({"name": "a=b"})));
        check("owner=null", json!({"owner": "x"}), Some(json!({"owner": null})));
        check("default_value=blue", json!({}), Some(json!({"default_value": "blue"})));
        check("tags=[\"a\"]", json!({}), Some(json!({"tags": ["a"]})));
        check("variants.blue=1", json!({}), Some(json!({"variants": {"blue": 1}})));
        check("variants.name=1", json!({"variants": {"a": 2}}), Some(json!({"variants": {"a": 2, "name": 1}})));
        check("rules.0.value=5", json!({"rules": [{"value": 1}]}), Some(json!({"rules": [{"value": 5}]})));
        check("tags.1=b", json!({"tags": ["a"]}), Some(json!({"tags": ["a", "b"]})));
        check("tags.2=b", json!({"tags": ["a"]}), None);
        check("enabled.x=1", json!({"enabled": true}), None);
        for wrong in ["enabled", "=1", "a..b=1", ".a=1"] {
            check(wrong, json!({}), None);
        }
    }
}
