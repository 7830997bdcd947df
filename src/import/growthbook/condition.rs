//! Conditions: MongoDB's query language, of which GrowthBook takes a part.

use serde_json::{Map, Value, json};

use super::{Why, draw::attribute};
use crate::import::build;

/// All that an object says must hold.
pub(super) fn all(condition: &Value) -> Result<Value, Why> {
    let members = condition.as_object().ok_or("a condition is not an object")?;
    let of = |(name, value): (&String, &Value)| match name.as_str() {
        "$and" => Ok(build::all(each(value)?)),
        "$or" if value.as_array().is_some_and(Vec::is_empty) => Ok(build::always()),
        "$or" => Ok(build::any(each(value)?)),
        "$nor" => Ok(build::not(build::any(each(value)?))),
        "$not" => Ok(build::not(all(value)?)),
        name => field(attribute(name), value),
    };
    Ok(build::all(members.iter().map(of).collect::<Result<Vec<_>, Why>>()?))
}

fn each(conditions: &Value) -> Result<Vec<Value>, Why> {
    conditions.as_array().ok_or("expected an array of conditions")?.iter().map(all).collect()
}

fn field(name: &str, wanted: &Value) -> Result<Value, Why> {
    match wanted {
        Value::Object(operators) if is_operators(operators) => {
            let tests = operators.iter().map(|(operator, value)| test(name, operator, value));
            Ok(build::all(tests.collect::<Result<Vec<_>, Why>>()?))
        }
        Value::Null => Ok(build::not(exists(name))),
        Value::String(text) => Ok(build::test(name, "in", build::texts([text.as_str()].into_iter()))),
        Value::Number(_) => Ok(build::test(name, "between", json!([wanted, wanted]))),
        // Compared by what it amounts to: nothing, 0 and an empty text are false.
        Value::Bool(true) => Ok(build::test(name, "equals", true)),
        Value::Bool(false) => {
            Ok(build::any(vec![build::not(exists(name)), build::test(name, "in", json!([false, 0, ""]))]))
        }
        Value::Array(_) | Value::Object(_) => Ok(build::test(name, "equals", wanted.clone())),
    }
}

fn is_operators(members: &Map<String, Value>) -> bool {
    !members.is_empty() && members.keys().all(|name| name.starts_with('$'))
}

fn exists(name: &str) -> Value {
    build::test(name, "exists", true)
}

fn test(name: &str, operator: &str, value: &Value) -> Result<Value, Why> {
    let number = |operator: &str| match value.is_number() {
        true => Ok(build::test(name, operator, value.clone())),
        false => Err(format!("{operator} compares numbers only here, and {value} is none")),
    };
    let listed = |operator: &str| match value.is_array() {
        true => Ok(build::test(name, operator, value.clone())),
        false => Err(format!("{value} is not a list")),
    };
    // A list is in another when they overlap.
    let within = || Ok::<_, Why>(build::any(vec![listed("in")?, listed("any_of")?]));
    match operator {
        "$eq" if value.is_null() => Ok(build::not(exists(name))),
        "$ne" if value.is_null() => Ok(exists(name)),
        "$eq" => Ok(build::test(name, "equals", value.clone())),
        "$ne" => Ok(build::not(build::test(name, "equals", value.clone()))),
        "$lt" => number("less_than"),
        "$lte" => number("lte"),
        "$gt" => number("greater_than"),
        "$gte" => number("gte"),
        "$veq" => Ok(build::test(name, "semver_eq", value.clone())),
        "$vne" => Ok(build::not(build::test(name, "semver_eq", value.clone()))),
        "$vlt" => Ok(build::test(name, "semver_lt", value.clone())),
        "$vlte" => Ok(build::test(name, "semver_lte", value.clone())),
        "$vgt" => Ok(build::test(name, "semver_gt", value.clone())),
        "$vgte" => Ok(build::test(name, "semver_gte", value.clone())),
        "$in" => within(),
        "$nin" => Ok(build::not(within()?)),
        "$all" => listed("all_of"),
        // A pattern of GrowthBook matches anywhere, one here at the start.
        "$regex" => match value.as_str() {
            Some(pattern) => Ok(build::test(name, "regex", format!("(?s:.*?)(?:{pattern})"))),
            None => Err("a pattern is not a text".to_owned()),
        },
        "$exists" => match value.as_bool() {
            Some(false) => Ok(build::not(exists(name))),
            _ => Ok(exists(name)),
        },
        "$not" => Ok(build::not(field(name, value)?)),
        unknown => Err(format!("the operator {unknown:?} cannot be said here")),
    }
}
