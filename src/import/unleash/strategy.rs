//! Strategies: each is a rule, or several where a variant is given to some users by name.

use serde_json::{Map, Value, json};

use super::{Feature, State, attribute, constraint::is_range, variant::Variants};
use crate::import::{Notes, build};

/// Whom a strategy is for: a condition, and a part of those for whom it holds.
#[derive(Debug)]
struct Gate {
    condition: Value,
    part: Option<Part>,
}

/// A percentage, and how it is drawn.
#[derive(Debug)]
struct Part {
    percentage: u8,
    salt: String,
    by: Vec<String>,
}

impl Gate {
    fn of(condition: Value) -> Self {
        Self { condition, part: None }
    }

    fn never() -> Self {
        Self::of(build::never())
    }

    /// The fields that say for whom a rule is.
    fn rule(&self, more: Option<Value>) -> Map<String, Value> {
        let conditions = more.into_iter().chain([self.condition.clone()]).collect();
        let mut rule = build::rule(build::all(conditions));
        if let Some(Part { percentage, salt, by }) = &self.part {
            rule.extend([
                ("percentage".to_owned(), json!(percentage)),
                ("salt".to_owned(), json!(salt)),
                ("bucket_by".to_owned(), json!(by)),
            ]);
        }
        rule
    }
}

impl<'s> State<'s> {
    /// The rules of a feature: the first strategy that takes a user in decides.
    pub(super) fn rules(&self, feature: &Feature<'s>, variants: &mut Variants, notes: &mut Notes<'_>) -> Vec<Value> {
        let strategies = feature.list("strategies");
        let always = [json!({ "name": "default" })];
        let strategies = if strategies.is_empty() { &always } else { strategies };
        let mut rules = Vec::new();
        for (position, strategy) in strategies.iter().enumerate() {
            if strategy.get("disabled") == Some(&Value::Bool(true)) {
                continue;
            }
            let at = format!("{}/strategies/{position}", feature.pointer);
            let mut gate = gate(&at, feature, strategy, notes);
            gate.condition = build::all(vec![self.constraints(&at, strategy, notes), gate.condition]);
            if let Some(why) = build::fault(&gate.condition) {
                notes.add(&at, "the strategy", why, "it never matches");
                gate = Gate::never();
            }
            for (more, served) in variants.served(&at, feature, strategy, notes) {
                let mut rule = gate.rule(more);
                rule.extend(served);
                rules.push(Value::Object(rule));
            }
        }
        rules
    }
}

fn gate(at: &str, feature: &Feature<'_>, strategy: &Value, notes: &mut Notes<'_>) -> Gate {
    let parameters = strategy.get("parameters").unwrap_or(&Value::Null);
    let parameter = |name: &str| parameters.get(name).map(text).unwrap_or_default();
    let listed = |name: &str| -> Vec<String> {
        parameter(name).split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    };
    let part = |percentage: &str, salt: String, by: &[&str]| {
        let by = by.iter().map(|name| (*name).to_owned()).collect();
        drawn(&parameter(percentage), salt, by)
    };
    match strategy.get("name").and_then(Value::as_str).unwrap_or_default() {
        "default" => Gate::of(build::always()),
        "userWithId" => {
            let users = listed("userIds");
            Gate::of(build::test("user_id", "in", build::texts(users.iter().map(String::as_str))))
        }
        "gradualRolloutUserId" => part("percentage", parameter("groupId"), &["user_id"]),
        "gradualRolloutSessionId" => part("percentage", parameter("groupId"), &["sessionId"]),
        "gradualRolloutRandom" => part("percentage", feature.name.to_owned(), &["random"]),
        "flexibleRollout" => {
            let salt = Some(parameter("groupId")).filter(|group| !group.is_empty());
            drawn(
                &parameter("rollout"),
                salt.unwrap_or_else(|| feature.name.to_owned()),
                rollout_units(&parameter("stickiness")),
            )
        }
        "remoteAddress" => {
            let (ranges, names): (Vec<String>, Vec<String>) = listed("IPs").into_iter().partition(|ip| is_range(ip));
            let tests = [("in_cidr", ranges), ("in", names)].into_iter().filter(|(_, values)| !values.is_empty());
            Gate::of(build::any(
                tests.map(|(operator, values)| build::test("remoteAddress", operator, values)).collect(),
            ))
        }
        "applicationHostname" => {
            let why = "the name of the machine that evaluates says nothing here";
            notes.add(
                at,
                "strategy applicationHostname",
                why,
                "it matches where the attribute `hostname` is one of the names",
            );
            let mut test = build::test("hostname", "in", listed("hostNames"));
            test["ignore_case"] = true.into();
            Gate::of(test)
        }
        other => {
            let why = "it is a strategy of one's own, which only its clients know";
            notes.add(at, format!("strategy {other:?}"), why, "it never matches, as in a client that does not know it");
            Gate::never()
        }
    }
}

/// A percentage of those for whom there is something to draw by.
fn drawn(percentage: &str, salt: String, by: Vec<String>) -> Gate {
    let parsed = percentage.trim().parse::<f64>().unwrap_or(0.0);
    // Unleash draws whole percents, so a fraction takes nobody in.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    let percentage = parsed.clamp(0.0, 100.0) as u8;
    match percentage {
        0 => Gate::never(),
        100 if by.last().is_some_and(|last| last == "random") => Gate::of(build::always()),
        100 => {
            // Also at 100 % there must be something to draw by.
            let given = |name: &String| build::not(any_of(name));
            Gate::of(build::any(by.iter().map(given).collect()))
        }
        percentage => Gate { condition: build::always(), part: Some(Part { percentage, salt, by }) },
    }
}

/// Holds where an attribute is absent or empty.
fn any_of(name: &str) -> Value {
    let mut test = build::test(name, "in", json!([""]));
    test["otherwise"] = true.into();
    test
}

/// By what a flexible rollout draws.
fn rollout_units(stickiness: &str) -> Vec<String> {
    let names: &[&str] = match stickiness {
        "" | "default" => &["user_id", "sessionId", "random"],
        other => return vec![attribute(other).to_owned()],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// By what variants are drawn: there is always something.
pub(super) fn variant_units(stickiness: &str) -> Vec<String> {
    let names: &[&str] = match stickiness {
        "" | "default" => &["user_id", "sessionId", "remoteAddress", "random"],
        "random" => &["random"],
        other => &[attribute(other), "random"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Parameters are texts, but numbers are taken too.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
