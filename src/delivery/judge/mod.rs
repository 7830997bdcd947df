//! Stands in for the judge until it lands: the shapes, and an absolute guard alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::{ArmCounts, Effect, Fault};

/// The checked `analysis` of a canary.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// Between two looks.
    pub interval: Duration,
    /// Nothing is decided before.
    pub initial_delay: Duration,
    /// Requests of the canary that a pass needs.
    pub min_requests: u64,
    /// The canary's share of errors that fails it.
    pub max_absolute: f64,
    /// What a failure leads to.
    pub on_failure: OnFailure,
    /// What an end without a verdict leads to.
    pub on_inconclusive: OnInconclusive,
    /// When an analysis without a verdict is rolled back.
    pub deadline: Duration,
}

/// What a failure leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Back to the stable side.
    Rollback,
    /// A person decides.
    Pause,
}

/// What it means that time is up and nothing is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInconclusive {
    /// The stage holds until there is certainty, a person decides or the deadline is there.
    Pause,
    /// The stage is rolled back.
    Rollback,
}

/// What there is to judge.
#[derive(Debug)]
pub struct Look<'l> {
    /// How long the step runs.
    pub since_start: Duration,
    /// The stable arm in the same seconds.
    pub baseline: &'l ArmCounts,
    /// The new arm.
    pub canary: &'l ArmCounts,
    /// The share of users that the new arm should have, from 0 to 1.
    pub expected_share: Option<f64>,
    /// Whether every gateway that is live told its counts lately.
    pub is_fresh: bool,
}

/// A judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is no worse.
    Pass,
    /// It is worse.
    Fail,
    /// It cannot be told.
    Inconclusive,
}

/// Why a judge decides as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Pass.
    NoWorse,
    /// Fail.
    TooManyErrors,
    /// Fail: no certainty by the deadline.
    Deadline,
    /// Inconclusive.
    FewRequests,
}

/// A judgement with its reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it is.
    pub decision: Decision,
    /// Why.
    pub cause: Cause,
    /// Why, for a person.
    pub sentence: String,
    /// The numbers.
    pub figures: Value,
}

/// What the judge remembers between looks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judge {}

impl Analysis {
    /// Reads the object at a place of a document.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(value: &Value, at: &str) -> Result<Self, Vec<Fault>> {
        let fault = |name: &str, message: &str| {
            vec![Fault { pointer: format!("{at}/{name}"), message: message.to_owned(), effect: Effect::Quarantined }]
        };
        let time = |name: &str, default: u64| match value.get(name) {
            None => Ok(Duration::from_secs(default)),
            Some(text) if text == &json!("0s") => Ok(Duration::ZERO),
            Some(text) => crate::delivery::deployment::duration(text).ok_or_else(|| fault(name, "expected a duration")),
        };
        let is = |name: &str, word: &str| value.get(name).and_then(Value::as_str) == Some(word);
        let metrics = value.get("metrics").and_then(Value::as_array);
        let absolute = metrics.into_iter().flatten().find_map(|metric| metric.get("max_absolute")?.as_f64());
        Ok(Self {
            interval: time("interval", 5)?,
            initial_delay: time("initial_delay", 0)?,
            min_requests: value.get("min_requests").and_then(Value::as_u64).unwrap_or(200),
            max_absolute: absolute.unwrap_or(0.05),
            on_failure: if is("on_failure", "pause") { OnFailure::Pause } else { OnFailure::Rollback },
            on_inconclusive: match is("on_inconclusive", "rollback") {
                true => OnInconclusive::Rollback,
                false => OnInconclusive::Pause,
            },
            deadline: time("deadline", 7200)?,
        })
    }
}

impl Judge {
    /// The next step begins.
    pub fn next_step(&mut self) {}

    /// Looks once more.
    pub fn look(&mut self, analysis: &Analysis, look: &Look<'_>) -> Verdict {
        let (requests, errors) = (look.canary.requests, look.canary.errors);
        let share = if requests == 0 { 0.0 } else { errors as f64 / requests as f64 };
        let (decision, cause, sentence) = if requests >= 20 && share > analysis.max_absolute {
            (Decision::Fail, Cause::TooManyErrors, format!("{errors} of {requests} requests failed"))
        } else if !look.is_fresh || requests < analysis.min_requests || look.since_start < analysis.initial_delay {
            let sentence = format!("{requests} of {} requests seen", analysis.min_requests);
            (Decision::Inconclusive, Cause::FewRequests, sentence)
        } else {
            (Decision::Pass, Cause::NoWorse, format!("{errors} of {requests} requests failed, no more than may"))
        };
        Verdict { decision, cause, sentence, figures: json!({ "requests": requests, "errors": errors }) }
    }
}
