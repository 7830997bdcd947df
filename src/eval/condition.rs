//! Conditions: one operator on one attribute, or a group of conditions.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    bucket::threshold,
    flag::Bucketing,
    json::number_of,
    membership::MembershipTest,
    operator::{Named, Operator},
    segment::{Scope, SegmentNames},
    split,
};
use crate::model::{Attribute, Context};

/// How deep groups may nest.
const MAX_DEPTH: usize = 8;

/// The attributes that are the set of the user's segments.
pub(super) const SEGMENT_ATTRIBUTES: [&str; 3] = ["segment", "user_segment", "segments"];

/// A compiled condition.
#[derive(Debug)]
pub(crate) enum Condition {
    One(Test),
    Membership(Box<MembershipTest>),
    Bucket(Box<BucketTest>),
    All(Vec<Self>),
    Any(Vec<Self>),
    None(Vec<Self>),
}

impl Condition {
    /// Whether the bucket of a user's id is asked for anywhere.
    pub(crate) fn draws_by_user(&self) -> bool {
        match self {
            Self::One(_) | Self::Membership(_) => false,
            Self::Bucket(bucket) => bucket.bucketing.by.is_user(),
            Self::All(members) | Self::Any(members) | Self::None(members) => members.iter().any(Self::draws_by_user),
        }
    }

    /// The tests of segments in it.
    pub(super) fn memberships(&self) -> Vec<&MembershipTest> {
        match self {
            Self::One(_) | Self::Bucket(_) => Vec::new(),
            Self::Membership(test) => vec![test],
            Self::All(members) | Self::Any(members) | Self::None(members) => {
                members.iter().flat_map(Self::memberships).collect()
            }
        }
    }
}

/// One operator on one attribute.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) attribute: Box<str>,
    pub(super) name: &'static str,
    pub(super) operator: Operator,
    pub(super) negated: bool,
    /// The attribute is a set: an array stands for its members, and an absent one is the empty set.
    set: bool,
    place: Place,
    /// What the condition is when it cannot be known.
    pub(super) otherwise: Truth,
}

/// Where the attribute is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Under its name.
    Name,
    /// Under its name, else within another: `company.id` is `id` of the object `company`.
    Path,
    /// The time of the request.
    Now,
}

/// Whether a bucket lies between two percentages.
#[derive(Debug)]
pub(crate) struct BucketTest {
    bucketing: Bucketing,
    from: u16,
    to: u16,
    otherwise: Truth,
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
    pub(crate) fn test(&self, scope: &Scope<'_, '_>) -> Truth {
        match self {
            Self::One(test) => test.test(&scope.context),
            Self::Membership(test) => test.test(scope),
            Self::Bucket(bucket) => bucket.test(&scope.context),
            Self::All(members) => all(members, scope),
            Self::Any(members) => any(members, scope),
            Self::None(members) => match any(members, scope) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                Truth::Unknown => Truth::Unknown,
            },
        }
    }

    /// What each part saw and said, for explain.
    pub(crate) fn trace(&self, scope: &Scope<'_, '_>) -> Value {
        let group = |name: &str, members: &[Self]| {
            let members: Vec<Value> = members.iter().map(|member| member.trace(scope)).collect();
            serde_json::json!({ name: members, "result": self.test(scope) })
        };
        match self {
            Self::One(test) => test.trace(&scope.context),
            Self::Membership(test) => test.trace(scope),
            Self::Bucket(bucket) => bucket.trace(&scope.context),
            Self::All(members) => group("all", members),
            Self::Any(members) => group("any", members),
            Self::None(members) => group("none", members),
        }
    }
}

impl Test {
    /// The attribute that was seen, and why the condition does not hold.
    fn trace(&self, context: &Context<'_>) -> Value {
        let seen = self.seen(context);
        let result = self.test(context);
        let because = match (self.known(context), seen) {
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
        match self.known(context) {
            Truth::Unknown => self.otherwise,
            known @ (Truth::Yes | Truth::No) => known,
        }
    }

    pub(super) fn seen<'c>(&self, context: &Context<'c>) -> Option<Attribute<'c>> {
        match self.place {
            Place::Name => context.attribute(&self.attribute),
            Place::Path => context.attribute(&self.attribute).or_else(|| within(context, &self.attribute)),
            Place::Now => Some(Attribute::Integer(context.now.as_millisecond())),
        }
    }

    /// What can be known, whatever it is otherwise.
    fn known(&self, context: &Context<'_>) -> Truth {
        self.passed(context).map_or(Truth::Unknown, |passed| truth(passed != self.negated))
    }

    /// Whether the attribute passes the operator, negated or not; `None`: that cannot be known.
    pub(super) fn passed(&self, context: &Context<'_>) -> Option<bool> {
        let attribute = match (self.seen(context), &self.operator) {
            (Some(attribute), _) => attribute,
            (None, Operator::Exists(wanted)) => return Some(!*wanted),
            (None, _) if self.set => Attribute::Set(&[]),
            (None, _) => return None,
        };
        match attribute.as_array().filter(|_| self.set) {
            Some(members) => self.test_members(attribute, members),
            None => self.operator.test(attribute),
        }
    }

    /// An array of names that stands for a set: operators test its members.
    fn test_members(&self, whole: Attribute<'_>, members: &[Value]) -> Option<bool> {
        if matches!(self.operator, Operator::AllOf(_) | Operator::AnyOf(_) | Operator::Contains { .. }) {
            return self.operator.test(whole);
        }
        members.iter().try_fold(false, |any, member| Some(any || self.operator.test(Attribute::from_json(member)?)?))
    }
}

impl BucketTest {
    fn compile(fields: &Map<String, Value>, otherwise: Truth) -> Result<Condition, (String, String)> {
        let known = |name: &str| BUCKET_FIELDS.contains(&name);
        if let Some(unknown) = fields.keys().find(|name| !known(name)) {
            return Err((
                format!("/{unknown}"),
                format!("unknown field {unknown:?}; known are {}", BUCKET_FIELDS.join(", ")),
            ));
        }
        if !fields.contains_key("salt") {
            return Err(("/salt".to_owned(), "the salt is missing".to_owned()));
        }
        let percentage = |name: &str, default: f64| match fields.get(name) {
            None => Ok(threshold(default)),
            Some(value) => number_of(value)
                .filter(|number| (0.0..=100.0).contains(number) && value.is_number())
                .map(threshold)
                .ok_or_else(|| (format!("/{name}"), "expected a number from 0 to 100".to_owned())),
        };
        let (from, to) = (percentage("from", 0.0)?, percentage("to", 100.0)?);
        let bucketing = split::bucketing(fields, &Bucketing::default())?;
        Ok(Condition::Bucket(Box::new(Self { bucketing, from, to, otherwise })))
    }

    fn test(&self, context: &Context<'_>) -> Truth {
        match self.bucketing.bucket(context) {
            Some(bucket) => truth(self.from <= bucket && bucket < self.to),
            None => self.otherwise,
        }
    }

    fn trace(&self, context: &Context<'_>) -> Value {
        let percent = |points: u16| f64::from(points) / 100.0;
        let bucket = self.bucketing.bucket(context).map(percent);
        let (from, to) = (percent(self.from), percent(self.to));
        serde_json::json!({
            "bucket": bucket, "of": self.bucketing.by.to_json(), "salt": self.bucketing.salt, "from": from, "to": to,
            "result": self.test(context),
        })
    }
}

/// A member of an object attribute, by its dotted path.
fn within<'c>(context: &Context<'c>, path: &str) -> Option<Attribute<'c>> {
    let (name, rest) = path.split_once('.')?;
    let Attribute::Json(whole) = context.attribute(name)? else { return None };
    let member = rest.split('.').try_fold(whole, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })?;
    Attribute::from_json(member)
}

/// Compiles the conditions of a rule: its own attribute, its `segments` and its `conditions`, all of which must hold.
///
/// # Errors
/// The JSON pointer below the rule, and what is wrong there.
pub(crate) fn compile(rule: &Map<String, Value>, segments: &SegmentNames) -> Result<Condition, (String, String)> {
    let mut members = Vec::new();
    let named = ["attribute", "operator", "value"].into_iter().filter(|name| rule.contains_key(*name)).count();
    if named > 0 || !(rule.contains_key("conditions") || rule.contains_key("segments")) {
        members.push(single(rule, segments)?);
    }
    if let Some(named) = rule.get("segments") {
        members.push(member_of(named, segments).map_err(|message| ("/segments".to_owned(), message))?);
    }
    if let Some(group) = rule.get("conditions") {
        members.push(self::group(group, 1, segments).map_err(|(at, message)| (format!("/conditions{at}"), message))?);
    }
    Ok(if members.len() == 1 { members.remove(0) } else { Condition::All(members) })
}

/// Why a rule with these conditions could not match.
pub(crate) fn fault(rule: &Map<String, Value>) -> Option<String> {
    compile(rule, &SegmentNames::default()).err().map(|(_, message)| message)
}

fn group(value: &Value, depth: usize, segments: &SegmentNames) -> Result<Condition, (String, String)> {
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
        member_condition(member, depth, segments).map_err(|(at, message)| (format!("/{name}/{position}{at}"), message))
    });
    compiled.collect::<Result<_, _>>().map(build)
}

fn member_condition(member: &Value, depth: usize, segments: &SegmentNames) -> Result<Condition, (String, String)> {
    let fields = member.as_object().ok_or_else(|| (String::new(), "a condition is an object".to_owned()))?;
    if ["all", "any", "none"].iter().any(|name| fields.contains_key(*name)) {
        return group(member, depth + 1, segments);
    }
    if let Some(unknown) = fields.keys().find(|name| !CONDITION_FIELDS.contains(&name.as_str())) {
        return Err((
            format!("/{unknown}"),
            format!("unknown field {unknown:?}; known are {}", CONDITION_FIELDS.join(", ")),
        ));
    }
    if let Some(bucket) = fields.get("bucket") {
        let bucket = bucket.as_object().ok_or_else(|| ("/bucket".to_owned(), "expected an object".to_owned()))?;
        return BucketTest::compile(bucket, otherwise(fields)?)
            .map_err(|(at, message)| (format!("/bucket{at}"), message));
    }
    match fields.get("segments") {
        Some(named) => member_of(named, segments).map_err(|message| ("/segments".to_owned(), message)),
        None => single(fields, segments),
    }
}

const CONDITION_FIELDS: [&str; 8] =
    ["attribute", "operator", "value", "negate", "ignore_case", "otherwise", "segments", "bucket"];

/// The fields of a `bucket`.
const BUCKET_FIELDS: [&str; 5] = ["hash", "salt", "bucket_by", "from", "to"];

/// The attribute that is the time of the request.
const NOW: &str = "now";

/// What a condition is when it cannot be known: `otherwise`.
fn otherwise(fields: &Map<String, Value>) -> Result<Truth, (String, String)> {
    match fields.get("otherwise") {
        None | Some(Value::Null) => Ok(Truth::Unknown),
        Some(Value::Bool(otherwise)) => Ok(truth(*otherwise)),
        Some(_) => Err(("/otherwise".to_owned(), "expected true or false".to_owned())),
    }
}

/// `{attribute, operator, value, negate?, ignore_case?}`.
fn single(fields: &Map<String, Value>, segments: &SegmentNames) -> Result<Condition, (String, String)> {
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
    let explicit = operator == "segment";
    let set = explicit || SEGMENT_ATTRIBUTES.contains(&attribute);
    let place = match attribute {
        NOW => Place::Now,
        path if path.contains('.') => Place::Path,
        _ => Place::Name,
    };
    let test = Test {
        attribute: attribute.into(),
        name,
        operator: compiled,
        negated: negated != flag("negate")?,
        set,
        place,
        otherwise: otherwise(fields)?,
    };
    Ok(match set {
        true => Condition::Membership(Box::new(MembershipTest::new(test, explicit, segments))),
        false => Condition::One(test),
    })
}

/// Membership of any of the segments.
fn member_of(named: &Value, segments: &SegmentNames) -> Result<Condition, String> {
    let Named { name, operator, .. } = Operator::compile("segment", named, false)?;
    let (attribute, place, otherwise) = ("segment".into(), Place::Name, Truth::Unknown);
    let test = Test { attribute, name, operator, negated: false, set: true, place, otherwise };
    Ok(Condition::Membership(Box::new(MembershipTest::new(test, true, segments))))
}

fn all(members: &[Condition], scope: &Scope<'_, '_>) -> Truth {
    let mut result = Truth::Yes;
    for member in members {
        match member.test(scope) {
            Truth::Yes => {}
            Truth::No => return Truth::No,
            Truth::Unknown => result = Truth::Unknown,
        }
    }
    result
}

fn any(members: &[Condition], scope: &Scope<'_, '_>) -> Truth {
    let mut result = Truth::No;
    for member in members {
        match member.test(scope) {
            Truth::Yes => return Truth::Yes,
            Truth::No => {}
            Truth::Unknown => result = Truth::Unknown,
        }
    }
    result
}

pub(super) const fn truth(passed: bool) -> Truth {
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
