//! Fields of a body, coerced as leniently as the existing service does (pydantic 1): a number for text, `"yes"` for a
//! boolean, `"33.5"` for a number.

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::refusal::{Issue, Refusal};

/// What a field is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, a number or a boolean.
    Text,
    /// A boolean or what stands for one.
    Boolean,
    /// A number from 0 to 100.
    Percentage,
    /// One of `boolean`, `string`, `number` and `json`.
    FlagType,
    /// A time: RFC 3339, without an offset UTC, or seconds or milliseconds since 1970.
    Time,
    /// An array of objects.
    Objects,
    /// An array of texts.
    Texts,
    /// An object.
    Object,
    /// Anything.
    Any,
}

/// The values of `flag_type`.
const FLAG_TYPES: [&str; 4] = ["boolean", "string", "number", "json"];

/// A number above this is in milliseconds, one below in seconds.
const MILLISECONDS_FROM: u64 = 20_000_000_000;

/// Takes fields out of a body, and notes what is wrong with them.
#[derive(Debug)]
pub(super) struct Form {
    fields: Map<String, Value>,
    issues: Vec<Issue>,
}

impl Form {
    pub(super) fn new(fields: Map<String, Value>) -> Self {
        Self { fields, issues: Vec::new() }
    }

    /// Takes a field that has to be there.
    pub(super) fn required(&mut self, name: &str, kind: Kind) -> Option<Value> {
        if !self.fields.contains_key(name) {
            self.issues.push(Issue::missing().at(name));
        }
        self.optional(name, kind)
    }

    /// Takes a field that may be absent, but not null.
    pub(super) fn optional(&mut self, name: &str, kind: Kind) -> Option<Value> {
        if kind != Kind::Any && self.fields.get(name).is_some_and(Value::is_null) {
            self.fields.shift_remove(name);
            let issue = Issue::of_body("none is not an allowed value", "type_error.none.not_allowed");
            self.issues.push(issue.at(name));
        }
        self.nullable(name, kind)
    }

    /// Takes a field that may be absent or null, which is the same; a null that may be [`Kind::Any`] is a value.
    pub(super) fn nullable(&mut self, name: &str, kind: Kind) -> Option<Value> {
        let value = self.fields.shift_remove(name)?;
        if value.is_null() && kind != Kind::Any {
            return None;
        }
        kind.coerce(value).map_err(|issues| self.issues.extend(issues.into_iter().map(|issue| issue.below(name)))).ok()
    }

    /// Whether a field is there and null.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(Value::is_null)
    }

    pub(super) fn refuse(&mut self, issue: Issue) {
        self.issues.push(issue);
    }

    /// The fields that were not taken, and what was wrong with the others.
    pub(super) fn finish(self) -> (Map<String, Value>, Vec<Issue>) {
        (self.fields, self.issues)
    }

    /// Fails if anything was wrong. Fields that were not taken do not matter.
    pub(super) fn check(self) -> Result<(), Refusal> {
        Refusal::of_issues(self.issues)
    }
}

impl Kind {
    fn coerce(self, value: Value) -> Result<Value, Vec<Issue>> {
        let coerced = match self {
            Self::Any => Ok(value),
            Self::Text => text(value),
            Self::Boolean => boolean(&value),
            Self::Percentage => percentage(value),
            Self::FlagType => flag_type(value),
            Self::Time => time(&value),
            Self::Object => object(value),
            Self::Objects => return list(value, object),
            Self::Texts => return list(value, text),
        };
        coerced.map_err(|issue| vec![issue])
    }
}

fn text(value: Value) -> Result<Value, Issue> {
    match value {
        Value::String(_) => Ok(value),
        Value::Number(number) => Ok(number.to_string().into()),
        Value::Bool(flag) => Ok((if flag { "True" } else { "False" }).into()),
        Value::Null => Err(Issue::of_body("none is not an allowed value", "type_error.none.not_allowed")),
        Value::Array(_) | Value::Object(_) => Err(Issue::of_body("str type expected", "type_error.str")),
    }
}

fn boolean(value: &Value) -> Result<Value, Issue> {
    let word = match value {
        Value::Bool(_) => return Ok(value.clone()),
        Value::String(word) => word.to_ascii_lowercase(),
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    };
    match word.as_str() {
        "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true.into()),
        "0" | "off" | "f" | "false" | "n" | "no" => Ok(false.into()),
        _ => Err(Issue::of_body("value could not be parsed to a boolean", "type_error.bool")),
    }
}

fn percentage(value: Value) -> Result<Value, Issue> {
    let number = match &value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Bool(flag) => Some(f64::from(*flag)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let limit = |msg, kind, limit: u32| Err(Issue::of_body(msg, kind).with(json!({ "limit_value": limit })));
    match number {
        None => Err(Issue::of_body("value is not a valid float", "type_error.float")),
        Some(number) if number > 100.0 => {
            limit("ensure this value is less than or equal to 100", "value_error.number.not_le", 100)
        }
        Some(number) if number < 0.0 => {
            limit("ensure this value is greater than or equal to 0", "value_error.number.not_ge", 0)
        }
        Some(_) if value.is_number() => Ok(value),
        Some(number) => Ok(json!(number)),
    }
}

fn flag_type(value: Value) -> Result<Value, Issue> {
    if value.as_str().is_some_and(|name| FLAG_TYPES.contains(&name)) {
        return Ok(value);
    }
    let permitted = FLAG_TYPES.map(|name| format!("'{name}'")).join(", ");
    let msg = format!("value is not a valid enumeration member; permitted: {permitted}");
    Err(Issue::of_body(msg, "type_error.enum").with(json!({ "enum_values": FLAG_TYPES })))
}

fn time(value: &Value) -> Result<Value, Issue> {
    let parsed = match value {
        Value::String(text) => parse_time(text),
        Value::Number(number) => number.as_i64().and_then(since_1970),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let time = parsed.ok_or_else(|| Issue::of_body("invalid datetime format", "value_error.datetime"))?;
    let usual = time.to_string();
    // Zeros at the end say how exact a time is; what was exported would otherwise come back changed.
    let is_so_but_for_zeros = |text: &&str| {
        let fraction = text.strip_suffix('Z').filter(|text| text.contains('.'));
        fraction.is_some_and(|text| Some(text.trim_end_matches('0').trim_end_matches('.')) == usual.strip_suffix('Z'))
    };
    Ok(value.as_str().filter(is_so_but_for_zeros).map_or(usual.clone(), str::to_owned).into())
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let utc = |local: civil::DateTime| TimeZone::UTC.to_timestamp(local).ok();
    text.parse().ok().or_else(|| utc(text.parse().ok()?))
}

fn since_1970(number: i64) -> Option<Timestamp> {
    let since = match number.unsigned_abs() > MILLISECONDS_FROM {
        true => SignedDuration::from_millis(number),
        false => SignedDuration::from_secs(number),
    };
    Timestamp::from_duration(since).ok()
}

fn object(value: Value) -> Result<Value, Issue> {
    match value {
        Value::Object(_) => Ok(value),
        Value::Array(items) if items.is_empty() => Ok(Value::Object(Map::new())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Issue::of_body("value is not a valid dict", "type_error.dict"))
        }
    }
}

fn list(value: Value, item: fn(Value) -> Result<Value, Issue>) -> Result<Value, Vec<Issue>> {
    let Value::Array(items) = value else {
        return Err(vec![Issue::of_body("value is not a valid list", "type_error.list")]);
    };
    let mut issues = Vec::new();
    let mut coerced = Vec::with_capacity(items.len());
    for (position, found) in items.into_iter().enumerate() {
        match item(found) {
            Ok(found) => coerced.push(found),
            Err(issue) => issues.push(issue.at(position)),
        }
    }
    if issues.is_empty() { Ok(coerced.into()) } else { Err(issues) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenient_where_the_existing_service_is() {
        for (kind, given, taken) in [
            (Kind::Text, json!(12), Some(json!("12"))),
            (Kind::Text, json!(true), Some(json!("True"))),
            (Kind::Text, json!(["a"]), None),
            (Kind::Boolean, json!("Yes"), Some(json!(true))),
            (Kind::Boolean, json!(0.0), Some(json!(false))),
            (Kind::Boolean, json!("maybe"), None),
            (Kind::Boolean, json!([]), None),
            (Kind::Percentage, json!("33.5"), Some(json!(33.5))),
            (Kind::Percentage, json!(50), Some(json!(50))),
            (Kind::Percentage, json!("nan"), None),
            (Kind::Percentage, json!(100.01), None),
            (Kind::Time, json!(1_700_000_000), Some(json!("2023-11-14T22:13:20Z"))),
            (Kind::Time, json!(1_700_000_000_000_i64), Some(json!("2023-11-14T22:13:20Z"))),
            (Kind::Time, json!("2024-01-02T03:04:05+02:00"), Some(json!("2024-01-02T01:04:05Z"))),
            (Kind::Time, json!("2024-01-02T03:04:05.5"), Some(json!("2024-01-02T03:04:05.5Z"))),
            (Kind::Time, json!("2024-01-02T03:04:05.500000Z"), Some(json!("2024-01-02T03:04:05.500000Z"))),
            (Kind::Time, json!("2024-01-02T03:04:00.000Z"), Some(json!("2024-01-02T03:04:00.000Z"))),
            (Kind::Time, json!("2024-01-02 03:04:05.50Z"), Some(json!("2024-01-02T03:04:05.5Z"))),
            (Kind::Time, json!(i64::MIN), None),
            (Kind::Texts, json!([1, "b"]), Some(json!(["1", "b"]))),
            (Kind::Object, json!([]), Some(json!({}))),
            (Kind::Object, json!(["a"]), None),
        ] {
            assert_eq!(kind.coerce(given.clone()).ok(), taken, "{kind:?} {given}");
        }
    }

    #[test]
    fn an_issue_names_the_item() {
        let mut form = Form::new(json!({ "rules": [{}, "x"] }).as_object().cloned().unwrap());
        assert_eq!(form.optional("rules", Kind::Objects), None);
        let (_, issues) = form.finish();
        assert_eq!(json!(issues[0])["loc"], json!(["body", "rules", 1]));
    }
}
