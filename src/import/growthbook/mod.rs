//! GrowthBook: features with rules, as an SDK is sent them.
//!
//! Rules are tried in their order; the first that takes the user decides. Who is drawn comes from a hash of the attribute
//! that a rule names, `id` unless said otherwise, which is the user's id here.

mod condition;
mod draw;

use serde_json::{Map, Value, json};

use self::draw::Drawn;
use super::{ImportedFlag, Notes, Reading, build};
use crate::{eval::escape, model::FlagDocument};

/// Why something is not carried over.
type Why = String;

pub(super) fn read(source: &Value, reading: &mut Reading) {
    let Some(features) = source.get("features").and_then(Value::as_object) else {
        return reading.fault("/features", "expected an object of key: feature");
    };
    for (name, feature) in features {
        let pointer = format!("/features/{}", escape(name));
        let Some(feature) = feature.as_object() else {
            reading.fault(pointer, "expected an object with `defaultValue` and `rules`");
            continue;
        };
        let rules = match feature.get("rules") {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(rules)) if rules.iter().all(Value::is_object) => rules,
            Some(_) => {
                reading.fault(format!("{pointer}/rules"), "expected an array of objects");
                continue;
            }
        };
        let notes = &mut Notes { name, report: &mut reading.report };
        let document = converted(&pointer, name, feature, rules, notes);
        match FlagDocument::from_map(document) {
            Ok(document) => reading.flags.push(ImportedFlag { pointer, name: name.clone(), document }),
            Err(fault) => reading.fault(pointer, fault.message),
        }
    }
}

/// The values that a feature can give, each with the name of its variant.
#[derive(Debug, Default)]
struct Variants(Vec<(String, Value)>);

impl Variants {
    /// The variant of a value. Null is none.
    fn of(&mut self, value: &Value) -> Result<String, Why> {
        if value.is_null() {
            return Err("a flag gives no null here".to_owned());
        }
        if let Some((name, _)) = self.0.iter().find(|(_, known)| known == value) {
            return Ok(name.clone());
        }
        let name = match value {
            Value::Bool(value) => value.to_string(),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                format!("v{}", self.0.len() + 1)
            }
        };
        self.0.push((name.clone(), value.clone()));
        Ok(name)
    }

    /// What all values are, the default among them.
    fn flag_type(&self, default: &Value) -> &'static str {
        let kind = |value: &Value| match value {
            Value::Bool(_) => "boolean",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Null | Value::Array(_) | Value::Object(_) => "json",
        };
        let first = kind(default);
        if self.0.iter().all(|(_, value)| kind(value) == first) { first } else { "json" }
    }
}

fn converted(
    pointer: &str,
    name: &str,
    feature: &Map<String, Value>,
    rules: &[Value],
    notes: &mut Notes<'_>,
) -> Map<String, Value> {
    let mut default = feature.get("defaultValue").cloned().unwrap_or_default();
    let (mut variants, mut targeting, mut prerequisites) = (Variants::default(), Vec::new(), Vec::new());
    for (position, rule) in rules.iter().enumerate() {
        let at = format!("{pointer}/rules/{position}");
        if is_gate(rule) {
            match gate(rule) {
                Ok(gates) => {
                    let why = "a flag gives its default where a prerequisite is not met";
                    notes.add(&*at, "a gate", why, "where GrowthBook gives null, it gives the default");
                    prerequisites.extend(gates);
                }
                Err(why) => notes.add(at, "a gate", why, "the flag does not ask for it"),
            }
            continue;
        }
        match converted_rule(name, rule, &mut variants) {
            Ok(rule) => targeting.push(Value::Object(rule)),
            Err(why) => notes.add(at, "a rule", why, "it takes nobody"),
        }
    }
    if default.is_null() {
        default = match variants.0.first().map(|(_, value)| value) {
            Some(Value::Bool(_)) | None => json!(false),
            Some(Value::String(_)) => json!(""),
            Some(Value::Number(_)) => json!(0),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) => json!({}),
        };
        let effect = format!("where no rule decides, the flag gives {default}");
        notes.add(format!("{pointer}/defaultValue"), "the default null", "a flag gives no null here", &effect);
    }
    let key = notes.key(pointer);
    let mut document = Map::from_iter([
        ("key".to_owned(), json!(key)),
        ("name".to_owned(), json!(name)),
        ("flag_type".to_owned(), json!(variants.flag_type(&default))),
        ("default_value".to_owned(), default),
        ("enabled".to_owned(), json!(true)),
    ]);
    if !targeting.is_empty() {
        document.extend([
            ("targeting_enabled".to_owned(), json!(true)),
            ("targeting_rules".to_owned(), targeting.into()),
            ("variants".to_owned(), Value::Object(variants.0.into_iter().collect())),
        ]);
    }
    if !prerequisites.is_empty() {
        document.insert("prerequisites".to_owned(), prerequisites.into());
    }
    document
}

/// Whether a rule does nothing but ask for other features.
fn is_gate(rule: &Value) -> bool {
    rule.get("parentConditions").is_some() && rule.get("force").is_none() && rule.get("variations").is_none()
}

/// The prerequisites of a gate: features that must give a value.
fn gate(rule: &Value) -> Result<Vec<Value>, Why> {
    let parents = rule["parentConditions"].as_array().ok_or("`parentConditions` is not an array")?;
    let prerequisite = |parent: &Value| {
        let id = parent["id"].as_str().ok_or("a parent without `id`")?;
        let wanted = parent["condition"].as_object().filter(|condition| condition.len() == 1);
        let wanted = wanted.and_then(|condition| condition.get("value"));
        let wanted = wanted.map(|wanted| wanted.get("$eq").unwrap_or(wanted)).filter(|wanted| !wanted.is_object());
        let wanted = wanted.filter(|wanted| !wanted.is_null()).ok_or("a parent is asked for more than one value")?;
        Ok(json!({ "key": build::key(id), "value": wanted }))
    };
    parents.iter().map(prerequisite).collect()
}

fn converted_rule(feature: &str, rule: &Value, variants: &mut Variants) -> Result<Map<String, Value>, Why> {
    if rule.get("parentConditions").is_some_and(|parents| parents.as_array().is_none_or(|all| !all.is_empty())) {
        return Err("a rule here cannot ask for other flags".to_owned());
    }
    let drawn = Drawn::of(feature, rule)?;
    let mut conditions = match rule.get("condition") {
        None | Some(Value::Null) => Vec::new(),
        Some(condition) => vec![condition::all(condition)?],
    };
    conditions.extend(drawn.filters(rule)?);
    let condition = build::all(conditions);
    if let Some(why) = build::fault(&condition) {
        return Err(why);
    }
    let mut converted = build::rule(condition);
    match (rule.get("force"), rule.get("variations")) {
        (Some(value), _) => {
            let variant = variants.of(value)?;
            match drawn.rollout(rule, &variant)? {
                Some(split) => converted.insert("split".to_owned(), split),
                None => converted.insert("variant".to_owned(), variant.into()),
            };
        }
        (None, Some(values)) => {
            let values = values.as_array().filter(|values| values.len() > 1).ok_or("fewer than two variations")?;
            let named = values.iter().map(|value| variants.of(value)).collect::<Result<Vec<_>, _>>()?;
            converted.insert("split".to_owned(), drawn.experiment(rule, &named)?);
        }
        (None, None) => return Err("it says neither `force` nor `variations`".to_owned()),
    }
    Ok(converted)
}
