//! From JsonLogic to conditions.

use serde_json::{Map, Value, json};

use super::argument::{Argument, compare, is_truthy, number};
use crate::import::build;

/// How many operations a flag's targeting may consist of, references followed.
const MOST_OPERATIONS: usize = 20_000;

/// Why an operation cannot be carried over.
pub(super) type Why = String;

/// Translates the operations of one flag.
#[derive(Debug)]
pub(super) struct Logic<'s> {
    pub(super) flag: &'s str,
    evaluators: &'s Map<String, Value>,
    left: usize,
}

impl<'s> Logic<'s> {
    pub(super) fn new(flag: &'s str, evaluators: &'s Map<String, Value>) -> Self {
        Self { flag, evaluators, left: MOST_OPERATIONS }
    }

    /// Follows references. References in a circle end, as there is a bound to how much is read.
    pub(super) fn resolved<'v>(&mut self, mut value: &'v Value) -> Result<&'v Value, Why>
    where
        's: 'v,
    {
        loop {
            self.left = self.left.checked_sub(1).ok_or("it is too large, or refers to itself")?;
            let Some(name) = value.get("$ref").and_then(Value::as_str) else { return Ok(value) };
            value = self.evaluators.get(name).ok_or_else(|| format!("there is no evaluator {name:?}"))?;
        }
    }

    /// Whether an expression is true, as a condition that is known either way.
    pub(super) fn condition(&mut self, expression: &Value) -> Result<Value, Why> {
        let expression = self.resolved(expression)?;
        let constant = |truth: bool| Ok(if truth { build::always() } else { build::never() });
        let Some((name, arguments)) = operation(expression) else { return constant(is_truthy(expression)) };
        let list = arguments.as_array().map_or(std::slice::from_ref(arguments), Vec::as_slice);
        match (name, list) {
            ("var", _) => match Argument::of(expression, self.flag) {
                Argument::Known(value) => constant(is_truthy(&value)),
                Argument::Timestamp => constant(true),
                Argument::Attribute(name, default) => Ok(or_absent(&name, default, truthy(&name), is_truthy)),
                Argument::Computed => Err("the whole context has no truth here".to_owned()),
            },
            ("!", [only]) => self.condition(only).map(build::not),
            ("!!", [only]) => self.condition(only),
            ("and", all) => self.each(all).map(build::all),
            ("or", any) => self.each(any).map(build::any),
            ("if", branches) => self.branches(branches),
            (
                "==" | "===" | "!=" | "!==" | "<" | "<=" | ">" | ">=" | "in" | "starts_with" | "ends_with",
                [left, right],
            ) => self.comparison(name, left, right),
            ("<" | "<=", [low, value, high]) => {
                let (above, below) = (self.comparison(name, low, value)?, self.comparison(name, value, high)?);
                Ok(build::all(vec![above, below]))
            }
            ("sem_ver", [left, range, right]) => self.version(left, range.as_str().unwrap_or_default(), right),
            ("missing", names) => {
                let absent = names.iter().filter_map(Value::as_str).map(|name| absent(own_name(name), true));
                Ok(build::any(absent.collect()))
            }
            _ => Err(format!("what {name:?} gives has to be computed")),
        }
    }

    fn each(&mut self, expressions: &[Value]) -> Result<Vec<Value>, Why> {
        expressions.iter().map(|expression| self.condition(expression)).collect()
    }

    /// `if` as a truth: the first branch whose condition holds gives it.
    fn branches(&mut self, branches: &[Value]) -> Result<Value, Why> {
        match branches {
            [] => Ok(build::never()),
            [otherwise] => self.condition(otherwise),
            [condition, then, rest @ ..] => {
                let (condition, then) = (self.condition(condition)?, self.condition(then)?);
                let rest = self.branches(rest)?;
                let taken = build::all(vec![condition.clone(), then]);
                Ok(build::any(vec![taken, build::all(vec![build::not(condition), rest])]))
            }
        }
    }

    fn comparison(&mut self, name: &str, left: &Value, right: &Value) -> Result<Value, Why> {
        let (left, right) = (self.resolved(left)?, self.resolved(right)?);
        let computed = || Err(format!("{name:?} is carried over between a property and a value only"));
        match (Argument::of(left, self.flag), Argument::of(right, self.flag)) {
            (Argument::Known(left), Argument::Known(right)) => match compare(name, &left, &right) {
                Some(true) => Ok(build::always()),
                Some(false) => Ok(build::never()),
                None => computed(),
            },
            (Argument::Attribute(attribute, default), Argument::Known(value)) => {
                let test = of_attribute(name, &attribute, &value)?;
                Ok(or_absent(&attribute, default, test, |default| compare(name, default, &value).unwrap_or(false)))
            }
            (Argument::Known(value), Argument::Attribute(attribute, default)) => {
                let test = match mirrored(name) {
                    Some(mirrored) => of_attribute(mirrored, &attribute, &value)?,
                    // A text within the property, or a member of it.
                    None if name == "in" => build::test(&attribute, "contains", value.clone()),
                    None => return computed(),
                };
                Ok(or_absent(&attribute, default, test, |default| compare(name, &value, default).unwrap_or(false)))
            }
            (Argument::Timestamp, Argument::Known(value)) => of_time(name, &value),
            (Argument::Known(value), Argument::Timestamp) => of_time(mirrored(name).unwrap_or(name), &value),
            _ => computed(),
        }
    }

    fn version(&mut self, left: &Value, range: &str, right: &Value) -> Result<Value, Why> {
        let (attribute, version, range) = match (Argument::of(left, self.flag), Argument::of(right, self.flag)) {
            (Argument::Attribute(name, None), Argument::Known(version)) => (name, version, range),
            (Argument::Known(version), Argument::Attribute(name, None)) if matches!(range, "=" | "!=" | "~" | "^") => {
                (name, version, range)
            }
            (Argument::Known(version), Argument::Attribute(name, None)) => {
                (name, version, mirrored(range).unwrap_or(range))
            }
            _ => return Err("\"sem_ver\" is carried over between a property and a version only".to_owned()),
        };
        let parsed = version.as_str().and_then(|text| semver::Version::parse(text).ok());
        let parsed = parsed.ok_or_else(|| format!("{version} is not a semantic version"))?;
        let test = |operator: &str| build::test(&attribute, operator, version.clone());
        // The lowest version of a line is its first pre-release.
        let between = |low: String, high: String| {
            let low = build::test(&attribute, "semver_gte", format!("{low}-0"));
            build::all(vec![low, build::test(&attribute, "semver_lt", format!("{high}-0"))])
        };
        Ok(match range {
            "=" => test("semver_eq"),
            ">" => test("semver_gt"),
            ">=" => test("semver_gte"),
            "<" => test("semver_lt"),
            "<=" => test("semver_lte"),
            "~" => between(
                format!("{}.{}.0", parsed.major, parsed.minor),
                format!("{}.{}.0", parsed.major, parsed.minor.saturating_add(1)),
            ),
            "^" => between(format!("{}.0.0", parsed.major), format!("{}.0.0", parsed.major.saturating_add(1))),
            // What is no version is not unequal either.
            _ => {
                let mut test = test("semver_eq");
                test["negate"] = true.into();
                test
            }
        })
    }
}

/// The one operation of an object, and its arguments.
pub(super) fn operation(expression: &Value) -> Option<(&str, &Value)> {
    let fields = expression.as_object().filter(|fields| fields.len() == 1)?;
    fields.iter().next().map(|(name, arguments)| (name.as_str(), arguments))
}

/// The name of a property of the context here.
pub(super) fn own_name(name: &str) -> &str {
    if name == "targetingKey" { "user_id" } else { name }
}

/// Holds where the attribute is something that counts as true.
fn truthy(attribute: &str) -> Value {
    let mut test = build::test(attribute, "not_in", json!([false, 0, "", []]));
    test["otherwise"] = false.into();
    test
}

/// Holds where an attribute is absent; or empty, where that counts as well.
fn absent(attribute: &str, or_empty: bool) -> Value {
    let mut test = build::test(attribute, "in", if or_empty { json!([""]) } else { json!([]) });
    test["otherwise"] = true.into();
    test
}

/// A test, or where the attribute is absent, what its default gives.
fn or_absent(attribute: &str, default: Option<Value>, test: Value, gives: impl Fn(&Value) -> bool) -> Value {
    match default {
        Some(default) if gives(&default) => build::any(vec![test, absent(attribute, false)]),
        Some(_) => build::all(vec![test, build::not(absent(attribute, false))]),
        None => test,
    }
}

/// The same comparison from the other side.
fn mirrored(name: &str) -> Option<&str> {
    match name {
        "==" | "===" | "!=" | "!==" => Some(name),
        "<" => Some(">"),
        "<=" => Some(">="),
        ">" => Some("<"),
        ">=" => Some("<="),
        _ => None,
    }
}

fn of_attribute(name: &str, attribute: &str, value: &Value) -> Result<Value, Why> {
    let ordered = |operator: &str| match number(value) {
        Some(number) => Ok(build::test(attribute, operator, number)),
        None => Err(format!("{name:?} orders numbers here, and {value} is none")),
    };
    match name {
        "==" | "===" if value.is_null() => Ok(absent(attribute, false)),
        "!=" | "!==" if value.is_null() => Ok(build::not(absent(attribute, false))),
        "===" => Ok(build::test(attribute, "equals", value.clone())),
        "!==" => Ok(build::not(build::test(attribute, "equals", value.clone()))),
        "==" => Ok(build::test(attribute, "in", alike(value))),
        "!=" => Ok(build::not(build::test(attribute, "in", alike(value)))),
        "<" => ordered("less_than"),
        "<=" => ordered("lte"),
        ">" => ordered("greater_than"),
        ">=" => ordered("gte"),
        "in" if value.is_array() || value.is_string() => Ok(build::test(attribute, "in", value.clone())),
        "starts_with" | "ends_with" if value.is_string() => Ok(build::test(attribute, name, value.clone())),
        _ => Err(format!("{name:?} with {value} has to be computed")),
    }
}

/// The values that `==` takes for this one: a number and its text are the same to it.
fn alike(value: &Value) -> Value {
    match value {
        Value::String(text) => build::texts(std::iter::once(text.as_str())),
        Value::Number(number) => json!([value, number.to_string()]),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => json!([value]),
    }
}

/// The time counts in whole seconds.
fn of_time(name: &str, value: &Value) -> Result<Value, Why> {
    let seconds = value.as_i64().and_then(|seconds| seconds.checked_mul(1_000));
    let start = seconds.ok_or_else(|| format!("the time compares with whole seconds here, not with {value}"))?;
    let before = |milliseconds: i64| build::test("now", "before", milliseconds);
    let next = start.saturating_add(1_000);
    match name {
        "<" => Ok(before(start)),
        "<=" => Ok(before(next)),
        ">" => Ok(build::not(before(next))),
        ">=" => Ok(build::not(before(start))),
        _ => Err(format!("{name:?} with the time has to be computed")),
    }
}
