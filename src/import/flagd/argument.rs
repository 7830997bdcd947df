//! What operations work on: values, properties of the context, the time.

use serde_json::Value;

/// What an argument is, as far as it can be told before there is a context.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument {
    Known(Value),
    /// An attribute, and what stands for it where it is absent.
    Attribute(String, Option<Value>),
    /// The time, in whole seconds since 1970.
    Timestamp,
    /// Anything that has to be computed.
    Computed,
}

impl Argument {
    pub(super) fn of(argument: &Value, flag: &str) -> Self {
        let Some(fields) = argument.as_object() else { return Self::Known(argument.clone()) };
        let Some(named) = fields.get("var") else { return Self::Computed };
        let (name, default) = match named.as_array() {
            Some(list) => (list.first(), list.get(1).filter(|default| !default.is_null())),
            None => (Some(named), None),
        };
        match name.and_then(Value::as_str).unwrap_or_default() {
            "" => Self::Computed,
            "$flagd.flagKey" => Self::Known(flag.into()),
            "$flagd.timestamp" => Self::Timestamp,
            "targetingKey" => Self::Attribute("user_id".to_owned(), default.cloned()),
            name => Self::Attribute(name.to_owned(), default.cloned()),
        }
    }
}

/// JsonLogic's truth: everything but false, null, 0, "" and [].
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

/// The number that a value is taken for in a comparison.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a comparison of two known values gives; `None`: that has to be computed.
pub(super) fn compare(operation: &str, left: &Value, right: &Value) -> Option<bool> {
    let ordered = |accept: fn(f64, f64) -> bool| Some(accept(number(left)?, number(right)?));
    match operation {
        "===" => Some(crate::eval::equal(left, right)),
        "!==" => Some(!crate::eval::equal(left, right)),
        "==" | "!=" => {
            let same = crate::eval::equal(left, right)
                || matches!((number(left), number(right)), (Some(left), Some(right)) if left.total_cmp(&right).is_eq());
            Some(same == (operation == "=="))
        }
        "<" => ordered(|left, right| left < right),
        "<=" => ordered(|left, right| left <= right),
        ">" => ordered(|left, right| left > right),
        ">=" => ordered(|left, right| left >= right),
        "in" => match (left, right) {
            (value, Value::Array(items)) => Some(items.iter().any(|item| crate::eval::equal(item, value))),
            (Value::String(part), Value::String(whole)) => Some(whole.contains(part.as_str())),
            _ => None,
        },
        "starts_with" => Some(left.as_str()?.starts_with(right.as_str()?)),
        "ends_with" => Some(left.as_str()?.ends_with(right.as_str()?)),
        _ => None,
    }
}
