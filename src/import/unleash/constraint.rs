//! Constraints: what the context must be for a strategy to count.

use serde_json::{Value, json};

use super::{State, attribute, below, id};
use crate::import::{Notes, build};

impl State<'_> {
    /// The constraints of a strategy and of its segments; all of them must hold.
    pub(super) fn constraints(&self, at: &str, strategy: &Value, notes: &mut Notes<'_>) -> Value {
        let list = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut conditions = Vec::new();
        for (position, constraint) in list(strategy, "constraints").iter().enumerate() {
            conditions.push(one(&format!("{at}/constraints/{position}"), constraint, notes));
        }
        for (position, named) in list(strategy, "segments").iter().enumerate() {
            let at = format!("{at}/segments/{position}");
            match self.segments.get(&id(named)) {
                Some(segment) => {
                    let constraints = list(segment, "constraints");
                    conditions.extend(constraints.iter().map(|constraint| one(&at, constraint, notes)));
                }
                None => {
                    let why = "the source does not hold it";
                    notes.add(at, format!("segment {named}"), why, "the strategy never matches, as in Unleash");
                    conditions.push(build::never());
                }
            }
        }
        build::all(conditions)
    }
}

/// One constraint. What cannot be understood never holds, as in Unleash, and is noted.
fn one(at: &str, constraint: &Value, notes: &mut Notes<'_>) -> Value {
    let text = |name: &str| constraint.get(name).and_then(Value::as_str).unwrap_or_default();
    let flag = |name: &str| constraint.get(name).and_then(Value::as_bool).unwrap_or(false);
    let (operator, name) = (text("operator"), attribute(text("contextName")));
    let values: Vec<&str> =
        constraint.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let value = constraint.get("value").map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let value = value.unwrap_or_default();
    let ignoring_case = flag("caseInsensitive");
    let cased = |operator: &str, value: &str| {
        let mut test = build::test(name, operator, value);
        if ignoring_case {
            test["ignore_case"] = true.into();
        }
        test
    };
    let of_any = |operator: &str| build::any(values.iter().map(|value| cased(operator, value)).collect());
    let condition = match operator {
        "IN" => Ok(build::test(name, "in", build::texts(values.iter().copied()))),
        "NOT_IN" => Ok(build::not(build::test(name, "in", build::texts(values.iter().copied())))),
        "STR_STARTS_WITH" => Ok(of_any("starts_with")),
        "STR_ENDS_WITH" => Ok(of_any("ends_with")),
        "STR_CONTAINS" => Ok(of_any("contains")),
        "NUM_EQ" => number(&value).map(|value| build::test(name, "between", json!([value, value]))),
        "NUM_GT" => number(&value).map(|value| build::test(name, "greater_than", value)),
        "NUM_GTE" => number(&value).map(|value| build::test(name, "gte", value)),
        "NUM_LT" => number(&value).map(|value| build::test(name, "less_than", value)),
        "NUM_LTE" => number(&value).map(|value| build::test(name, "lte", value)),
        "DATE_AFTER" => Ok(build::test(name, "after", value)),
        "DATE_BEFORE" => Ok(build::test(name, "before", value)),
        "SEMVER_EQ" => version(&value).map(|value| build::test(name, "semver_eq", value)),
        "SEMVER_GT" => version(&value).map(|value| build::test(name, "semver_gt", value)),
        "SEMVER_GTE" => version(&value).map(|value| build::test(name, "semver_gte", value)),
        "SEMVER_LT" => version(&value).map(|value| build::test(name, "semver_lt", value)),
        "SEMVER_LTE" => version(&value).map(|value| build::test(name, "semver_lte", value)),
        // A pattern of Unleash matches anywhere, one here at the start.
        "REGEX" => Ok(cased("regex", &format!("(?s:.*?)(?:{value})"))),
        "IN_CIDR" => Ok(build::test(name, "in_cidr", in_cidr(at, &values, notes))),
        unknown => Err(format!("the operator {unknown:?} is not known")),
    };
    let condition = condition.and_then(|condition| match build::fault(&condition) {
        None => Ok(condition),
        Some(why) => Err(why),
    });
    let condition = condition.unwrap_or_else(|why| {
        notes.add(at, format!("constraint {operator} on {:?}", text("contextName")), why, "the constraint never holds");
        build::never()
    });
    if flag("inverted") { build::not(condition) } else { condition }
}

fn number(text: &str) -> Result<Value, String> {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    number.map(|number| json!(number)).ok_or_else(|| format!("{text:?} is not a number"))
}

/// Unleash takes whole versions only, without a leading `v`.
fn version(text: &str) -> Result<&str, String> {
    semver::Version::parse(text).map(|_| text).map_err(|_| format!("{text:?} is not a semantic version"))
}

/// The ranges that can be understood; Unleash skips the others.
fn in_cidr(at: &str, values: &[&str], notes: &mut Notes<'_>) -> Value {
    let (known, unknown): (Vec<&str>, Vec<&str>) = values.iter().partition(|value| is_range(value));
    for value in unknown {
        let why = "it is neither an address nor a CIDR";
        notes.add(below(at, "values"), format!("the range {value:?}"), why, "it is left out, as in Unleash");
    }
    known.into()
}

/// An address or a CIDR.
pub(super) fn is_range(text: &str) -> bool {
    build::fault(&build::test("x", "in_cidr", text)).is_none()
}
