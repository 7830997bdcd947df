//! Conditions: one operator on one attribute, or a group of conditions.

use serde::Serialize;
use serde_json::{Map, Value};

use super::operator::{Named, Operator};
use crate::model::{Attribute, Context};

/// How deep groups may nest.
const MAX_DEPTH: usize = 8;

/// The attributes that hold the set of the user's segments.
const SEGMENT_ATTRIBUTES: [&str; 3] = ["segment", "user_segment", "segments"];

/// A compiled condition.
#[derive(Debug)]
pub(crate) enum Condition {
    One(Test),
    All(Vec<Self>),
    Any(Vec<Self>),
    None(Vec<Self>),
}

/// One operator on one attribute.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) attribute: Box<str>,
    name: &'static str,
    operator: Operator,
    negated: bool,
    /// The attribute is a set: an array stands for its members, and an absent one is the empty set.
    set: bool,
}

/// Three-valued: an absent attribute, or one of a type that the operator cannot use, is unknown, negated or not. A rule
/// matches only what is known to be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Truth {
    Yes,
    No,
    Unknown,
}

impl Condition {
    pub(crate) fn test(&self, context: &Context<'_>) -> Truth {
        match self {
            Self::One(test) => test.test(context),
            Self::All(members) => all(members, context),
            Self::Any(members) => any(members, context),
            Self::None(members) => match any(members, context) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                Truth::Unknown => Truth::Unknown,
            },
        }
    }

    /// What each part saw and said, for explain.
    pub(crate) fn trace(&self, context: &Context<'_>) -> Value {
        let group = |name: &str, members: &[Self]| {
            let members: Vec<Value> = members.iter().map(|member| member.trace(context)).collect();
            serde_json::json!({ name: members, "result": self.test(context) })
        };
        match self {
            Self::One(test) => test.trace(context),
            Self::All(members) => group("all", members),
            Self::Any(members) => group("any", members),
            Self::None(members) => group("none", members),
        }
    }
}

impl Test {
    /// The attribute that was seen, and why the condition does not hold.
    fn trace(&self, context: &Context<'_>) -> Value {
        let seen = context.attribute(&self.attribute);
        let result = self.test(context);
        let because = match (result, seen) {
            (Truth::Yes, _) => None,
            (Truth::No, _) => Some("the value does not match"),
            (Truth::Unknown, None) => Some("the attribute is absent"),
            (Truth::Unknown, Some(_)) => Some("the operator cannot use a value of this type"),
        };
        let seen = seen.map_or(Value::Null, show);
        let mut trace =
            serde_json::json!({ "attribute": self.attribute, "operator": self.name, "seen": seen, "result": result });
        if let (Some(because), Some(fields)) = (because, trace.as_object_mut()) {
            fields.insert("because".to_owned(), because.into());
        }
        trace
    }

    fn test(&self, context: &Context<'_>) -> Truth {
        let attribute = match (context.attribute(&self.attribute), &self.operator) {
            (Some(attribute), _) => attribute,
            (None, Operator::Exists(wanted)) => return truth(*wanted == self.negated),
            (None, _) if self.set => Attribute::Set(&[]),
            (None, _) => return Truth::Unknown,
        };
        let passed = match attribute.as_array().filter(|_| self.set) {
            Some(members) => self.test_members(attribute, members),
            None => self.operator.test(attribute),
        };
        passed.map_or(Truth::Unknown, |passed| truth(passed != self.negated))
    }

    /// An array of names that stands for a set: operators test its members.
    fn test_members(&self, whole: Attribute<'_>, members: &[Value]) -> Option<bool> {
        if matches!(self.operator, Operator::AllOf(_) | Operator::AnyOf(_) | Operator::Contains { .. }) {
            return self.operator.test(whole);
        }
        members.iter().try_fold(false, |any, member| Some(any || self.operator.test(Attribute::from_json(member)?)?))
    }
}

/// Compiles the conditions of a rule: its own attribute, its `segments` and its `conditions`, all of which must hold.
///
/// # Errors
/// The JSON pointer below the rule, and what is wrong there.
pub(crate) fn compile(rule: &Map<String, Value>) -> Result<Condition, (String, String)> {
    let mut members = Vec::new();
    let named = ["attribute", "operator", "value"].into_iter().filter(|name| rule.contains_key(*name)).count();
    if named > 0 || !(rule.contains_key("conditions") || rule.contains_key("segments")) {
        members.push(single(rule)?);
    }
    if let Some(segments) = rule.get("segments") {
        members.push(member_of(segments).map_err(|message| ("/segments".to_owned(), message))?);
    }
    if let Some(group) = rule.get("conditions") {
        members.push(self::group(group, 1).map_err(|(at, message)| (format!("/conditions{at}"), message))?);
    }
    Ok(if members.len() == 1 { members.remove(0) } else { Condition::All(members) })
}

fn group(value: &Value, depth: usize) -> Result<Condition, (String, String)> {
    if depth > MAX_DEPTH {
        return Err((String::new(), format!("conditions nest deeper than {MAX_DEPTH} levels")));
    }
    let shape = || (String::new(), "a group is an object with exactly one of `all`, `any` and `none`".to_owned());
    let fields = value.as_object().filter(|fields| fields.len() == 1).ok_or_else(shape)?;
    let (name, members) = fields.iter().next().ok_or_else(shape)?;
    let build = match name.as_str() {
        "all" => Condition::All,
        "any" => Condition::Any,
        "none" => Condition::None,
        _ => return Err(shape()),
    };
    let members =
        members.as_array().ok_or_else(|| (format!("/{name}"), "expected an array of conditions".to_owned()))?;
    let compiled = members.iter().enumerate().map(|(position, member)| {
        member_condition(member, depth).map_err(|(at, message)| (format!("/{name}/{position}{at}"), message))
    });
    compiled.collect::<Result<_, _>>().map(build)
}

fn member_condition(member: &Value, depth: usize) -> Result<Condition, (String, String)> {
    let fields = member.as_object().ok_or_else(|| (String::new(), "a condition is an object".to_owned()))?;
    if ["all", "any", "none"].iter().any(|name| fields.contains_key(*name)) {
        return group(member, depth + 1);
    }
    if let Some(unknown) = fields.keys().find(|name| !CONDITION_FIELDS.contains(&name.as_str())) {
        return Err((
            format!("/{unknown}"),
            format!("unknown field {unknown:?}; known are {}", CONDITION_FIELDS.join(", ")),
        ));
    }
    match fields.get("segments") {
        Some(segments) => member_of(segments).map_err(|message| ("/segments".to_owned(), message)),
        None => single(fields),
    }
}

const CONDITION_FIELDS: [&str; 6] = ["attribute", "operator", "value", "negate", "ignore_case", "segments"];

/// `{attribute, operator, value, negate?, ignore_case?}`.
fn single(fields: &Map<String, Value>) -> Result<Condition, (String, String)> {
    let at = |name: &str, message: &str| (format!("/{name}"), message.to_owned());
    let operator = fields
        .get("operator")
        .and_then(Value::as_str)
        .ok_or_else(|| at("operator", "expected the name of an operator"))?;
    let attribute = match fields.get("attribute") {
        Some(Value::String(name)) => name.as_str(),
        None if operator == "segment" => "segment",
        _ => return Err(at("attribute", "expected the name of an attribute")),
    };
    let value = fields.get("value").ok_or_else(|| at("value", "the value is missing"))?;
    let flag = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(at(name, "expected true or false")),
    };
    let Named { name, operator: compiled, negated } = Operator::compile(operator, value, flag("ignore_case")?)
        .map_err(|message| {
            let place = if message.starts_with("unknown operator") { "/operator" } else { "/value" };
            (place.to_owned(), message)
        })?;
    let set = operator == "segment" || SEGMENT_ATTRIBUTES.contains(&attribute);
    Ok(Condition::One(Test {
        attribute: attribute.into(),
        name,
        operator: compiled,
        negated: negated != flag("negate")?,
        set,
    }))
}

/// Membership of any of the segments.
fn member_of(segments: &Value) -> Result<Condition, String> {
    let Named { name, operator, .. } = Operator::compile("segment", segments, false)?;
    Ok(Condition::One(Test { attribute: "segment".into(), name, operator, negated: false, set: true }))
}

fn all(members: &[Condition], context: &Context<'_>) -> Truth {
    let mut result = Truth::Yes;
    for member in members {
        match member.test(context) {
            Truth::Yes => {}
            Truth::No => return Truth::No,
            Truth::Unknown => result = Truth::Unknown,
        }
    }
    result
}

fn any(members: &[Condition], context: &Context<'_>) -> Truth {
    let mut result = Truth::No;
    for member in members {
        match member.test(context) {
            Truth::Yes => return Truth::Yes,
            Truth::No => {}
            Truth::Unknown => result = Truth::Unknown,
        }
    }
    result
}

const fn truth(passed: bool) -> Truth {
    if passed { Truth::Yes } else { Truth::No }
}

/// An attribute as JSON, for explain.
fn show(attribute: Attribute<'_>) -> Value {
    match attribute {
        Attribute::Bool(flag) => flag.into(),
        Attribute::Integer(number) => number.into(),
        Attribute::Float(number) => number.into(),
        Attribute::Text(text) => text.into(),
        Attribute::Json(value) => value.clone(),
        Attribute::Set(members) => members.into(),
    }
}
