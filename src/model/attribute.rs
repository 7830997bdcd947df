//! Who is asking: the evaluation context and its attributes, borrowed from wherever they live.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// One attribute's value, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attribute<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, or one that does not fit `i64`.
    Float(f64),
    /// A string.
    Text(&'a str),
    /// An array or an object.
    Json(&'a Value),
    /// A set of names, such as the user's segments: operators test its members, not the set.
    Set(&'a [String]),
}

impl<'a> Attribute<'a> {
    /// The attribute that a JSON value stands for; `null` is the same as absent.
    #[must_use]
    pub fn from_json(value: &'a Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::Number(number) => Some(match number.as_i64() {
                Some(whole) => Self::Integer(whole),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            }),
            Value::String(text) => Some(Self::Text(text)),
            Value::Array(_) | Value::Object(_) => Some(Self::Json(value)),
        }
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(self) -> Value {
        match self {
            Self::Bool(flag) => flag.into(),
            Self::Integer(number) => number.into(),
            Self::Float(number) => number.into(),
            Self::Text(text) => text.into(),
            Self::Json(value) => value.clone(),
            Self::Set(members) => members.into(),
        }
    }

    /// The text of a string.
    #[must_use]
    pub const fn as_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bool(_) | Self::Integer(_) | Self::Float(_) | Self::Json(_) | Self::Set(_) => None,
        }
    }

    /// The number of a number, or of a string that reads as one.
    #[must_use]
    pub fn as_number(self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "numbers compare as f64")]
            Self::Integer(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Text(text) => parse_number(text),
            Self::Bool(_) | Self::Json(_) | Self::Set(_) => None,
        }
    }

    /// The items of an array.
    #[must_use]
    pub fn as_array(self) -> Option<&'a [Value]> {
        match self {
            Self::Json(value) => value.as_array().map(Vec::as_slice),
            Self::Bool(_) | Self::Integer(_) | Self::Float(_) | Self::Text(_) | Self::Set(_) => None,
        }
    }
}

/// Parses a decimal number (with an exponent, perhaps), blanks around it allowed; finite ones only.
#[must_use]
pub fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    decimal.then(|| text.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

/// Where evaluation looks attributes up. `None` is an absent or null attribute.
///
/// Implementations must be cheap: a rule asks for its attribute each time that it is tried.
pub trait Attributes {
    /// The value of the attribute `name`.
    fn attribute(&self, name: &str) -> Option<Attribute<'_>>;

    /// Whether the attribute `name` is there and null.
    fn is_null(&self, _name: &str) -> bool {
        false
    }
}

/// Looking through so few names is faster than hashing one.
const FEW: usize = 8;

impl Attributes for Map<String, Value> {
    fn is_null(&self, name: &str) -> bool {
        self.get(name).is_some_and(Value::is_null)
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        let found = match self.len() {
            0..=FEW => self.iter().find(|(known, _)| *known == name).map(|(_, value)| value),
            _ => self.get(name),
        };
        found.and_then(Attribute::from_json)
    }
}

/// A context without attributes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAttributes;

impl Attributes for NoAttributes {
    fn attribute(&self, _name: &str) -> Option<Attribute<'_>> {
        None
    }
}

/// For whom, and when, a flag is evaluated.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The user's id; it decides the bucket unless the flag says `bucket_by`.
    pub user_id: &'a str,
    /// Everything else that is known of the user or the request.
    pub attributes: &'a dyn Attributes,
    /// The time at which scheduled stages are judged.
    pub now: Timestamp,
}

impl<'a> Context<'a> {
    /// Looks an attribute up; `user_id` answers with the user's id unless an attribute of that name is given.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Attribute<'a>> {
        match self.attributes.attribute(name) {
            None if name == "user_id" => Some(Attribute::Text(self.user_id)),
            found => found,
        }
    }
}
