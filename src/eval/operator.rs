//! Operators: what a rule asks of an attribute.

use std::{cmp::Ordering, net::IpAddr};

use ipnet::IpNet;
use jiff::{Timestamp, civil, tz::TimeZone};
use semver::Version;
use serde_json::Value;

use super::{
    json::{Text, attribute_equals, equal, number_of},
    pattern::Pattern,
};
use crate::model::{Attribute, nearest};

/// A compiled operator with its value.
#[derive(Debug)]
pub(crate) enum Operator {
    Equals(Value),
    EqualsIgnoringCase(String),
    Contains {
        value: Value,
        text: Option<String>,
    },
    InList {
        values: Vec<Value>,
        ignore_case: bool,
    },
    InText(String),
    InKeys(Vec<String>),
    /// The attribute's number must compare with the value in one of the two ways.
    Compare {
        value: f64,
        accept: [Ordering; 2],
    },
    Between {
        low: f64,
        high: f64,
    },
    Matches(Pattern),
    StartsWith(String),
    EndsWith(String),
    Semver {
        version: Version,
        accept: [Ordering; 2],
    },
    Time {
        at: Timestamp,
        accept: Ordering,
    },
    InCidr(Vec<IpNet>),
    AnyOf(Vec<Value>),
    AllOf(Vec<Value>),
    Exists(bool),
}

/// The names that a document may use, for messages.
pub(crate) const NAMES: [&str; 26] = [
    "equals",
    "not_equals",
    "contains",
    "not_contains",
    "in",
    "not_in",
    "greater_than",
    "less_than",
    "regex",
    "gte",
    "lte",
    "between",
    "starts_with",
    "ends_with",
    "exists",
    "semver_eq",
    "semver_gt",
    "semver_gte",
    "semver_lt",
    "semver_lte",
    "before",
    "after",
    "in_cidr",
    "segment",
    "any_of",
    "all_of",
];

/// A compiled operator and whether its name negates it.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) operator: Operator,
    pub(crate) negated: bool,
}

impl Operator {
    /// Compiles an operator by name.
    ///
    /// # Errors
    /// What is wrong with the name or the value, as a message that says what would be right.
    pub(crate) fn compile(name: &str, value: &Value, ignore_case: bool) -> Result<Named, String> {
        let name = *NAMES.iter().find(|known| **known == name).ok_or_else(|| unknown_operator(name))?;
        let negated = matches!(name, "not_equals" | "not_contains" | "not_in");
        let operator = match name {
            "equals" | "not_equals" => match value.as_str().filter(|_| ignore_case) {
                Some(text) => Self::EqualsIgnoringCase(text.to_owned()),
                None => Self::Equals(value.clone()),
            },
            "contains" | "not_contains" => contains(value, ignore_case)?,
            "in" | "not_in" => within(value, ignore_case)?,
            "segment" => Self::AnyOf(names(value)?),
            "any_of" => Self::AnyOf(list(value, name)?.clone()),
            "all_of" => Self::AllOf(list(value, name)?.clone()),
            "greater_than" => Self::compare(value, [Ordering::Greater; 2])?,
            "gte" => Self::compare(value, [Ordering::Greater, Ordering::Equal])?,
            "less_than" => Self::compare(value, [Ordering::Less; 2])?,
            "lte" => Self::compare(value, [Ordering::Less, Ordering::Equal])?,
            "between" => between(value)?,
            "regex" => Self::Matches(Pattern::new(text(value, name)?, ignore_case)?),
            "starts_with" if ignore_case => literal(&["\\A", "@"], text(value, name)?)?,
            "starts_with" => Self::StartsWith(text(value, name)?.to_owned()),
            "ends_with" if ignore_case => literal(&["@", "\\z"], text(value, name)?)?,
            "ends_with" => Self::EndsWith(text(value, name)?.to_owned()),
            "exists" => Self::Exists(value.as_bool().ok_or("`exists` takes true or false")?),
            "semver_eq" => Self::semver(value, [Ordering::Equal; 2])?,
            "semver_gt" => Self::semver(value, [Ordering::Greater; 2])?,
            "semver_gte" => Self::semver(value, [Ordering::Greater, Ordering::Equal])?,
            "semver_lt" => Self::semver(value, [Ordering::Less; 2])?,
            "semver_lte" => Self::semver(value, [Ordering::Less, Ordering::Equal])?,
            "before" => Self::Time { at: time_value(value)?, accept: Ordering::Less },
            "after" => Self::Time { at: time_value(value)?, accept: Ordering::Greater },
            "in_cidr" => in_cidr(value)?,
            unknown => return Err(unknown_operator(unknown)),
        };
        Ok(Named { name, operator, negated })
    }

    /// Whether the attribute passes; `None` when its type is none that the operator can use.
    pub(crate) fn test(&self, attribute: Attribute<'_>) -> Option<bool> {
        if let Attribute::Set(members) = attribute {
            return self.test_set(members);
        }
        match self {
            Self::Equals(value) => Some(attribute_equals(attribute, value)),
            Self::EqualsIgnoringCase(wanted) => {
                Some(attribute.as_text().is_some_and(|text| same_ignoring_case(text, wanted)))
            }
            Self::Contains { value, text } => match attribute.as_array() {
                Some(items) => Some(items.iter().any(|item| equal(item, value))),
                None => Some(Text::of(attribute)?.as_str().contains(text.as_deref()?)),
            },
            Self::InList { values, ignore_case } => Some(
                values
                    .iter()
                    .any(|value| attribute_equals(attribute, value) || (*ignore_case && text_equals(attribute, value))),
            ),
            Self::InText(whole) => Some(whole.contains(attribute.as_text()?)),
            Self::InKeys(keys) => match attribute {
                Attribute::Text(text) => Some(keys.iter().any(|key| key == text)),
                Attribute::Bool(_) | Attribute::Integer(_) | Attribute::Float(_) => Some(false),
                Attribute::Json(_) | Attribute::Set(_) => None,
            },
            Self::Compare { value, accept } => Some(accept.contains(&attribute.as_number()?.partial_cmp(value)?)),
            Self::Between { low, high } => attribute.as_number().map(|number| *low <= number && number <= *high),
            Self::Matches(pattern) => pattern.is_match(Text::of(attribute)?.as_str()),
            Self::StartsWith(prefix) => Some(Text::of(attribute)?.as_str().starts_with(prefix)),
            Self::EndsWith(suffix) => Some(Text::of(attribute)?.as_str().ends_with(suffix)),
            Self::Semver { version, accept } => {
                Some(accept.contains(&parse_version(Text::of(attribute)?.as_str())?.cmp_precedence(version)))
            }
            Self::Time { at, accept } => Some(time(attribute)?.cmp(at) == *accept),
            Self::InCidr(nets) => {
                let address = attribute.as_text()?.trim().parse::<IpAddr>().ok()?.to_canonical();
                Some(nets.iter().any(|net| net.contains(&address)))
            }
            Self::AnyOf(values) => Some(match attribute.as_array() {
                Some(items) => items.iter().any(|item| values.iter().any(|value| equal(item, value))),
                None => values.iter().any(|value| attribute_equals(attribute, value)),
            }),
            Self::AllOf(values) => Some(match attribute.as_array() {
                Some(items) => values.iter().all(|value| items.iter().any(|item| equal(item, value))),
                None => values.iter().all(|value| attribute_equals(attribute, value)),
            }),
            Self::Exists(wanted) => Some(*wanted),
        }
    }

    /// Operators on a set look at its members: any of them may equal, be contained in, or match the value.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other operator looks at one member at a time")]
    fn test_set(&self, members: &[String]) -> Option<bool> {
        match self {
            Self::AllOf(values) => {
                Some(values.iter().all(|value| members.iter().any(|member| value.as_str() == Some(member))))
            }
            Self::Contains { value, .. } => Some(members.iter().any(|member| value.as_str() == Some(member))),
            Self::Exists(wanted) => Some(*wanted != members.is_empty()),
            single => members
                .iter()
                .map(|member| single.test(Attribute::Text(member)))
                .try_fold(false, |any, one| Some(any || one?)),
        }
    }

    fn compare(value: &Value, accept: [Ordering; 2]) -> Result<Self, String> {
        Ok(Self::Compare { value: number_value(value)?, accept })
    }

    fn semver(value: &Value, accept: [Ordering; 2]) -> Result<Self, String> {
        let version = value.as_str().and_then(parse_version);
        Ok(Self::Semver { version: version.ok_or_else(|| format!("{value} is not a version like \"1.2.3\""))?, accept })
    }
}

fn contains(value: &Value, ignore_case: bool) -> Result<Operator, String> {
    let text = match value {
        Value::String(text) if ignore_case => return literal(&["@"], text),
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    Ok(Operator::Contains { value: value.clone(), text })
}

fn within(value: &Value, ignore_case: bool) -> Result<Operator, String> {
    match value {
        Value::Array(values) => Ok(Operator::InList { values: values.clone(), ignore_case }),
        Value::String(whole) => Ok(Operator::InText(whole.clone())),
        Value::Object(fields) => Ok(Operator::InKeys(fields.keys().cloned().collect())),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            Err(format!("`in` takes an array, a string or an object, not {value}"))
        }
    }
}

fn between(value: &Value) -> Result<Operator, String> {
    match value.as_array().map(Vec::as_slice) {
        Some([low, high, ..]) => Ok(Operator::Between { low: number_value(low)?, high: number_value(high)? }),
        _ => Err(format!("`between` takes two numbers [low, high], not {value}")),
    }
}

fn in_cidr(value: &Value) -> Result<Operator, String> {
    let one = |value: &Value| {
        let text = value.as_str().ok_or_else(|| format!("{value} is not a CIDR like \"10.0.0.0/8\""))?;
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map_err(|_| format!("{text:?} is not a CIDR like \"10.0.0.0/8\""))
    };
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    values.iter().map(one).collect::<Result<_, _>>().map(Operator::InCidr)
}

fn literal(parts: &[&str], text: &str) -> Result<Operator, String> {
    Pattern::literal(parts, text).map(Operator::Matches)
}

fn unknown_operator(name: &str) -> String {
    match nearest(name, NAMES) {
        Some(known) => format!("unknown operator {name:?}, did you mean {known:?}?"),
        None => format!("unknown operator {name:?}; known are {}", NAMES.join(", ")),
    }
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("`{name}` takes a string, not {value}"))
}

fn list<'v>(value: &'v Value, name: &str) -> Result<&'v Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("`{name}` takes an array, not {value}"))
}

/// One name or an array of names.
fn names(value: &Value) -> Result<Vec<Value>, String> {
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let named = values.iter().all(Value::is_string);
    named.then(|| values.to_vec()).ok_or_else(|| format!("expected a segment or an array of segments, not {value}"))
}

fn number_value(value: &Value) -> Result<f64, String> {
    number_of(value).ok_or_else(|| format!("{value} is not a number"))
}

/// A version, with a leading `v` dropped and missing parts taken as 0.
fn parse_version(text: &str) -> Option<Version> {
    let text = text.trim().trim_start_matches(['v', 'V']);
    if let Ok(version) = Version::parse(text) {
        return Some(version);
    }
    let (core, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    match core.matches('.').count() {
        0 => Version::parse(&format!("{core}.0.0{rest}")).ok(),
        1 => Version::parse(&format!("{core}.0{rest}")).ok(),
        _ => None,
    }
}

fn time_value(value: &Value) -> Result<Timestamp, String> {
    let time = Attribute::from_json(value).and_then(time);
    time.ok_or_else(|| format!("{value} is not a time like \"2026-01-31T12:00:00Z\" or milliseconds since 1970"))
}

/// A time: RFC 3339, without an offset in UTC, or a number of milliseconds since 1970.
fn time(attribute: Attribute<'_>) -> Option<Timestamp> {
    match attribute {
        Attribute::Text(text) => parse_time(text),
        Attribute::Integer(milliseconds) => Timestamp::from_millisecond(milliseconds).ok(),
        #[expect(clippy::cast_possible_truncation, reason = "fractions of a millisecond do not count")]
        Attribute::Float(milliseconds) => Timestamp::from_millisecond(milliseconds as i64).ok(),
        Attribute::Bool(_) | Attribute::Json(_) | Attribute::Set(_) => None,
    }
}

/// Reads a time in RFC 3339; one without an offset is in UTC.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let local: civil::DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(local).ok()
    })
}

fn text_equals(attribute: Attribute<'_>, value: &Value) -> bool {
    matches!((attribute, value), (Attribute::Text(text), Value::String(wanted)) if same_ignoring_case(text, wanted))
}

fn same_ignoring_case(left: &str, right: &str) -> bool {
    left.chars().flat_map(char::to_lowercase).eq(right.chars().flat_map(char::to_lowercase))
}
