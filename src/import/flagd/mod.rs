//! flagd: flags with JsonLogic targeting.
//!
//! A targeting rule is a decision: who gets which variant. It is taken apart into rules here, in its order, each of which
//! leaves nobody undecided for whom it holds.

mod argument;
mod check;
mod fractional;
mod logic;
mod targeting;

use serde_json::{Map, Value, json};

use self::targeting::Targeting;
use super::{ImportedFlag, Notes, Reading};
use crate::{eval::escape, model::FlagDocument};

pub(super) fn read(source: &Value, reading: &mut Reading) {
    let Some(whole) = source.as_object() else {
        return reading.fault("", "expected {\"flags\": {...}}");
    };
    check::metadata("/metadata", whole.get("metadata"), reading);
    let none = Map::new();
    let evaluators = match whole.get("$evaluators") {
        None => &none,
        Some(Value::Object(evaluators)) => evaluators,
        Some(_) => {
            reading.fault("/$evaluators", "expected an object of name: rule");
            &none
        }
    };
    for (name, rule) in evaluators {
        check::rule(&format!("/$evaluators/{}", escape(name)), rule, reading);
    }
    let flags: Vec<(String, &str, &Value)> = match whole.get("flags") {
        Some(Value::Object(flags)) => {
            flags.iter().map(|(key, flag)| (format!("/flags/{}", escape(key)), key.as_str(), flag)).collect()
        }
        Some(Value::Array(flags)) => {
            let keyed = flags.iter().enumerate().map(|(position, flag)| {
                let name = flag.get("key").and_then(Value::as_str).unwrap_or_default();
                (format!("/flags/{position}"), name, flag)
            });
            keyed.collect()
        }
        _ => return reading.fault("/flags", "expected an object of key: flag"),
    };
    for (pointer, key, flag) in &flags {
        check::flag(pointer, key, flag, reading);
    }
    if !reading.faults.is_empty() {
        return;
    }
    for (pointer, key, flag) in flags {
        let notes = &mut Notes { name: key, report: &mut reading.report };
        let document = converted(&pointer, key, flag, evaluators, notes);
        match FlagDocument::from_map(document) {
            Ok(document) => reading.flags.push(ImportedFlag { pointer, name: key.to_owned(), document }),
            Err(fault) => reading.fault(pointer, fault.message),
        }
    }
}

fn converted(
    pointer: &str,
    key: &str,
    flag: &Value,
    evaluators: &Map<String, Value>,
    notes: &mut Notes<'_>,
) -> Map<String, Value> {
    let none = Map::new();
    let variants = flag.get("variants").and_then(Value::as_object).unwrap_or(&none);
    let (flag_type, zero) = match variants.values().next() {
        Some(Value::Bool(_)) => ("boolean", json!(false)),
        Some(Value::String(_)) => ("string", json!("")),
        Some(Value::Number(_)) => ("number", json!(0)),
        _ => ("json", json!({})),
    };
    let named = flag.get("defaultVariant").and_then(Value::as_str);
    let default = named.filter(|name| variants.contains_key(*name));
    if default.is_none() {
        let (what, why) = match named {
            Some(name) => (format!("the default variant {name:?}"), "the flag has no such variant"),
            None => ("no default variant".to_owned(), "a client's own default cannot be known here"),
        };
        let effect = format!("where nothing decides, the flag gives {zero}, not the client's default");
        notes.add(format!("{pointer}/defaultVariant"), what, why, &effect);
    }
    if flag.get("metadata").and_then(Value::as_object).is_some_and(|metadata| !metadata.is_empty()) {
        let why = "flags have no metadata of their own here";
        notes.add(format!("{pointer}/metadata"), "metadata", why, "clients do not get it");
    }
    let own = notes.key(pointer);
    let mut document = Map::from_iter([
        ("key".to_owned(), json!(own)),
        ("name".to_owned(), json!(key)),
        ("flag_type".to_owned(), json!(flag_type)),
        ("default_value".to_owned(), default.and_then(|name| variants.get(name)).cloned().unwrap_or(zero)),
        ("enabled".to_owned(), json!(flag.get("state") == Some(&json!("ENABLED")))),
    ]);
    let targeting = flag.get("targeting").filter(|rule| rule.as_object().is_some_and(|rule| !rule.is_empty()));
    if let Some(rule) = targeting {
        let fallback = document["default_value"].clone();
        let rules = Targeting::new(key, variants, default, fallback, evaluators, notes)
            .rules(&format!("{pointer}/targeting"), rule);
        document.extend([("targeting_enabled".to_owned(), json!(true)), ("targeting_rules".to_owned(), rules.into())]);
    }
    document.insert("variants".to_owned(), Value::Object(variants.clone()));
    document
}
