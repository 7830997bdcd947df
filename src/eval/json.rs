//! Comparing JSON values the way that rules see them.

use std::fmt::{self, Write};

use serde_json::{Number, Value};

pub(crate) use crate::model::parse_number;

use crate::model::Attribute;

/// JSON equality: numbers by value (`1` equals `1.0`), no other type equals another.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers_equal(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| equal(left, right)))
        }
        (left, right) => left == right,
    }
}

/// [`equal`] for an attribute.
pub(crate) fn attribute_equals(attribute: Attribute<'_>, value: &Value) -> bool {
    match (attribute, value) {
        (Attribute::Bool(left), Value::Bool(right)) => left == *right,
        (Attribute::Integer(left), Value::Number(right)) => match right.as_i64() {
            Some(right) => left == right,
            #[expect(clippy::cast_precision_loss, reason = "numbers that are not both whole compare as f64")]
            None => right.as_f64() == Some(left as f64),
        },
        (Attribute::Float(left), Value::Number(right)) => right.as_f64() == Some(left),
        (Attribute::Text(left), Value::String(right)) => left == right,
        (Attribute::Json(left), right) => equal(left, right),
        (Attribute::Set(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| right.as_str() == Some(left))
        }
        _ => false,
    }
}

/// Everything but `false`, `0`, `""`, `[]`, `{}` and `null`.
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// The number that a JSON value stands for in a numeric comparison.
pub(crate) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => parse_number(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text of a string or number, without an allocation.
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Number(NumberText),
}

impl<'a> Text<'a> {
    /// A string is its own text; a number's is its JSON text; other values have none.
    pub(crate) fn of(attribute: Attribute<'a>) -> Option<Self> {
        match attribute {
            Attribute::Text(text) => Some(Self::Borrowed(text)),
            Attribute::Integer(number) => NumberText::of(number).map(Self::Number),
            Attribute::Float(number) => NumberText::of(Number::from_f64(number)?).map(Self::Number),
            Attribute::Bool(_) | Attribute::Json(_) | Attribute::Set(_) => None,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Number(text) => text.as_str(),
        }
    }
}

/// A number's text on the stack.
pub(crate) struct NumberText {
    bytes: [u8; 40],
    length: usize,
}

impl NumberText {
    pub(crate) fn of(number: impl fmt::Display) -> Option<Self> {
        let mut text = Self { bytes: [0; 40], length: 0 };
        write!(text, "{number}").ok()?;
        Some(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for NumberText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

fn numbers_equal(left: &Number, right: &Number) -> bool {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left == right,
        _ => left.as_f64() == right.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equality() {
        assert!(equal(&json!({"a": [1, {"b": 2.0}]}), &json!({"a": [1.0, {"b": 2}]})));
        assert!(!equal(&json!(true), &json!(1)));
        assert!(!equal(&json!("1"), &json!(1)));
        assert!(equal(&json!(-0.0), &json!(0)));
    }

    #[test]
    fn numbers() {
        for (text, number) in [(" 12 ", Some(12.0)), ("+5", Some(5.0)), (".5", Some(0.5)), ("1e3", Some(1000.0))] {
            assert_eq!(parse_number(text), number, "{text}");
        }
        for text in ["", "inf", "nan", "1_000", "1e400", "0x10", "١"] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }

    #[test]
    fn texts() {
        for (number, text) in
            [(1.0, "1.0"), (1e16, "1e+16"), (-1.797_693_134_862_315_7e308, "-1.7976931348623157e+308")]
        {
            assert_eq!(Text::of(Attribute::Float(number)).unwrap().as_str(), text);
        }
        assert_eq!(Text::of(Attribute::Integer(i64::MIN)).unwrap().as_str(), "-9223372036854775808");
    }
}
