//! The `analysis` object of a stage, checked.

use std::time::Duration;

use serde_json::Value;

use crate::{
    eval::{Reader, describe},
    model::{Effect, Fault, did_you_mean, duration},
};

const FIELDS: [&str; 10] = [
    "interval",
    "initial_delay",
    "alpha",
    "min_requests",
    "min_users",
    "metrics",
    "on_failure",
    "on_inconclusive",
    "on_no_data",
    "deadline",
];
const ERROR_RATE_FIELDS: [&str; 3] = ["name", "max_ratio", "max_absolute"];
const LATENCY_FIELDS: [&str; 3] = ["name", "quantile", "max_ratio"];

/// How a canary is to be judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// The time between two looks.
    pub interval: Duration,
    /// How long after the step's start nothing is compared, so that the canary can warm up. The absolute guard watches all the
    /// same.
    pub initial_delay: Duration,
    /// The probability of a false alarm, over all looks, steps and metrics together.
    pub alpha: f64,
    /// How many requests each side needs for a pass.
    pub min_requests: u64,
    /// How many distinct users each side needs for a pass; 0: users are not known well enough to be asked for, and each error
    /// counts for itself.
    pub min_users: u64,
    /// What is compared; not empty.
    pub metrics: Vec<Metric>,
    /// What is to be done when the canary is worse.
    pub on_failure: OnFailure,
    /// What is to be done when the time is up and nothing is certain.
    pub on_inconclusive: OnInconclusive,
    /// What it means that the canary has no requests.
    pub on_no_data: OnNoData,
    /// When there is no pass so long after the step's start, the canary has failed.
    pub deadline: Duration,
}

/// One thing that is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// The share of requests that failed.
    ErrorRate {
        /// How many times the baseline's it may be.
        max_ratio: f64,
        /// The share, from 0 to 1, above which the canary fails at once, whatever the baseline does.
        max_absolute: Option<f64>,
    },
    /// The share of requests that took longer than a quantile of the baseline, taken when the comparison began.
    Latency {
        /// The quantile, between 0 and 1.
        quantile: f64,
        /// How many times the baseline's share it may be.
        max_ratio: f64,
    },
}

/// What is to be done when the canary is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The stage is rolled back.
    Rollback,
    /// The stage stops where it is until a person decides.
    Pause,
}

/// What is to be done when the time is up and nothing is certain. There is no way to go on without certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInconclusive {
    /// The stage holds until there is certainty, a person decides or the deadline is there.
    Pause,
    /// The stage is rolled back.
    Rollback,
}

/// What it means that the canary has no requests after the initial delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNoData {
    /// Nothing is certain.
    Inconclusive,
    /// The canary has failed.
    Fail,
}

impl Analysis {
    /// Reads and checks the object; `at` is its JSON pointer in the document.
    ///
    /// # Errors
    /// All that is wrong, each with its place.
    pub fn parse(value: &Value, at: &str) -> Result<Self, Vec<Fault>> {
        let Some(fields) = value.as_object() else {
            let message = format!("expected an object, found {}", describe(value));
            return Err(vec![Fault { pointer: at.to_owned(), message, effect: Effect::Quarantined }]);
        };
        let mut read = Reader::new(fields);
        read.only("", fields, &FIELDS, Effect::Quarantined);
        let analysis = Self {
            interval: time(&mut read, "interval").unwrap_or(Duration::from_secs(5)),
            initial_delay: delay(&mut read),
            alpha: number(&mut read, "alpha", 1e-6, 0.1).unwrap_or(0.01),
            min_requests: whole(&mut read, "min_requests", 1).unwrap_or(200),
            min_users: whole(&mut read, "min_users", 0).unwrap_or(50),
            metrics: metrics(&mut read),
            on_failure: choice(
                &mut read,
                "on_failure",
                [("rollback", OnFailure::Rollback), ("pause", OnFailure::Pause)],
            ),
            on_inconclusive: choice(
                &mut read,
                "on_inconclusive",
                [("pause", OnInconclusive::Pause), ("rollback", OnInconclusive::Rollback)],
            ),
            on_no_data: choice(
                &mut read,
                "on_no_data",
                [("inconclusive", OnNoData::Inconclusive), ("fail", OnNoData::Fail)],
            ),
            deadline: time(&mut read, "deadline").unwrap_or(Duration::from_secs(7_200)),
        };
        if analysis.deadline <= analysis.initial_delay {
            read.fault(Effect::Quarantined, "/deadline", "the deadline must be later than the initial delay");
        }
        let fault = |fault: Fault| Fault { pointer: format!("{at}{}", fault.pointer), ..fault };
        if read.faults.is_empty() { Ok(analysis) } else { Err(read.faults.into_iter().map(fault).collect()) }
    }
}

fn time(read: &mut Reader<'_>, name: &str) -> Option<Duration> {
    read.typed(name, Effect::Quarantined, "a duration like \"30s\" or \"10m\"", |value| duration(value.as_str()?))
}

/// Unlike other durations it may be zero.
fn delay(read: &mut Reader<'_>) -> Duration {
    let of = |value: &Value| match value.as_str()? {
        "0" | "0s" => Some(Duration::ZERO),
        text => duration(text),
    };
    let wanted = "a duration like \"30s\", or \"0s\"";
    read.typed("initial_delay", Effect::Quarantined, wanted, of).unwrap_or(Duration::ZERO)
}

fn number(read: &mut Reader<'_>, name: &str, least: f64, most: f64) -> Option<f64> {
    let wanted = format!("a number from {least} to {most}");
    let of = |value: &Value| value.as_f64().filter(|number| (least..=most).contains(number));
    read.typed(name, Effect::Quarantined, &wanted, of)
}

fn whole(read: &mut Reader<'_>, name: &str, least: u64) -> Option<u64> {
    let wanted = format!("a whole number from {least}");
    read.typed(name, Effect::Quarantined, &wanted, |value| value.as_u64().filter(|number| *number >= least))
}

/// One of some words; the first is what it is when nothing is said.
fn choice<T: Copy, const N: usize>(read: &mut Reader<'_>, name: &str, words: [(&str, T); N]) -> T {
    let wanted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    let of = |value: &Value| {
        let word = value.as_str()?;
        words.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
    };
    read.typed(name, Effect::Quarantined, &wanted.join(" or "), of).unwrap_or(words[0].1)
}

fn metrics(read: &mut Reader<'_>) -> Vec<Metric> {
    let entries = read.array("metrics");
    if entries.is_empty() && read.faults.iter().all(|fault| fault.pointer != "/metrics") {
        read.fault(Effect::Quarantined, "/metrics", "expected an array with at least one metric");
    }
    let mut metrics: Vec<Metric> = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let at = format!("/metrics/{place}");
        let Some(fields) = entry.as_object() else {
            read.fault(Effect::Quarantined, at, format!("expected an object, found {}", describe(entry)));
            continue;
        };
        let mut of_metric = Reader::new(fields);
        let metric = metric(&mut of_metric);
        for fault in of_metric.faults {
            read.fault(fault.effect, format!("{at}{}", fault.pointer), fault.message);
        }
        let Some(metric) = metric else { continue };
        if metrics.iter().any(|other| is_same(*other, metric)) {
            read.fault(Effect::Quarantined, at, "this metric is there twice");
        }
        metrics.push(metric);
    }
    metrics
}

fn metric(read: &mut Reader<'_>) -> Option<Metric> {
    let Some(name) = read.get("name") else {
        read.fault(Effect::Quarantined, "/name", "the name is missing: error_rate or latency");
        return None;
    };
    match name.as_str() {
        Some("error_rate") => {
            read.only("", read.fields, &ERROR_RATE_FIELDS, Effect::Quarantined);
            let max_ratio = number(read, "max_ratio", 1.0, 1_000.0).unwrap_or(1.5);
            Some(Metric::ErrorRate { max_ratio, max_absolute: number(read, "max_absolute", 0.0, 1.0) })
        }
        Some("latency") => {
            read.only("", read.fields, &LATENCY_FIELDS, Effect::Quarantined);
            let quantile = number(read, "quantile", 0.5, 0.999).unwrap_or(0.95);
            Some(Metric::Latency { quantile, max_ratio: number(read, "max_ratio", 1.0, 1_000.0).unwrap_or(1.2) })
        }
        _ => {
            let hint = did_you_mean(name.as_str().unwrap_or(""), ["error_rate", "latency"]);
            let message = format!("expected \"error_rate\" or \"latency\", found {}{hint}", describe(name));
            read.fault(Effect::Quarantined, "/name", message);
            None
        }
    }
}

fn is_same(left: Metric, right: Metric) -> bool {
    match (left, right) {
        (Metric::ErrorRate { .. }, Metric::ErrorRate { .. }) => true,
        (Metric::Latency { quantile: left, .. }, Metric::Latency { quantile: right, .. }) => {
            left.total_cmp(&right).is_eq()
        }
        (Metric::ErrorRate { .. }, Metric::Latency { .. }) | (Metric::Latency { .. }, Metric::ErrorRate { .. }) => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_all_fields() {
        let analysis = Analysis::parse(
            &json!({ "interval": "2s", "initial_delay": "30s", "alpha": 0.02, "min_requests": 300, "min_users": 0,
                "metrics": [{ "name": "error_rate", "max_ratio": 2, "max_absolute": 0.05 }, { "name": "latency", "quantile": 0.99 }],
                "on_failure": "pause", "on_inconclusive": "rollback", "on_no_data": "fail", "deadline": "1h" }),
            "",
        );
        let expected = Analysis {
            interval: Duration::from_secs(2),
            initial_delay: Duration::from_secs(30),
            alpha: 0.02,
            min_requests: 300,
            min_users: 0,
            metrics: vec![
                Metric::ErrorRate { max_ratio: 2.0, max_absolute: Some(0.05) },
                Metric::Latency { quantile: 0.99, max_ratio: 1.2 },
            ],
            on_failure: OnFailure::Pause,
            on_inconclusive: OnInconclusive::Rollback,
            on_no_data: OnNoData::Fail,
            deadline: Duration::from_secs(3_600),
        };
        assert_eq!(analysis, Ok(expected));
        let least = Analysis::parse(&json!({ "metrics": [{ "name": "error_rate" }] }), "").unwrap();
        assert_eq!(least.metrics, [Metric::ErrorRate { max_ratio: 1.5, max_absolute: None }]);
        assert_eq!((least.alpha, least.min_requests, least.min_users), (0.01, 200, 50));
        assert_eq!(least.on_inconclusive, OnInconclusive::Pause);
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let check = |value: Value, expected: &[(&str, &str)]| {
            let faults = Analysis::parse(&value, "/a").unwrap_err();
            let found: Vec<_> = faults.iter().map(|fault| (&*fault.pointer, &*fault.message)).collect();
            assert_eq!(found, expected, "{value}");
        };
        check(json!(5), &[("/a", "expected an object, found 5")]);
        check(json!({}), &[("/a/metrics", "expected an array with at least one metric")]);
        check(json!({ "metrics": {} }), &[("/a/metrics", "expected an array, found an object")]);
        let one = json!([{ "name": "latency" }]);
        check(
            json!({ "metrics": one, "intervall": "5s", "alpha": 0.5, "min_requests": 0, "min_users": -1, "initial_delay": "3h",
                "on_failure": "promote", "on_inconclusive": "promote", "on_no_data": "pass", "interval": 5 }),
            &[
                ("/a/intervall", "unknown field \"intervall\", did you mean \"interval\"?"),
                ("/a/interval", "expected a duration like \"30s\" or \"10m\", found 5"),
                ("/a/alpha", "expected a number from 0.000001 to 0.1, found 0.5"),
                ("/a/min_requests", "expected a whole number from 1, found 0"),
                ("/a/min_users", "expected a whole number from 0, found -1"),
                ("/a/on_failure", "expected \"rollback\" or \"pause\", found the string \"promote\""),
                ("/a/on_inconclusive", "expected \"pause\" or \"rollback\", found the string \"promote\""),
                ("/a/on_no_data", "expected \"inconclusive\" or \"fail\", found the string \"pass\""),
                ("/a/deadline", "the deadline must be later than the initial delay"),
            ],
        );
        check(
            json!({ "metrics": [{ "name": "eror_rate" }, { "name": 1 }, {}, 7,
                { "name": "error_rate", "quantile": 0.5, "max_ratio": 0.9 }, { "name": "latency", "quantile": 1, "max_absolute": 1 },
                { "name": "error_rate" }] }),
            &[
                (
                    "/a/metrics/0/name",
                    "expected \"error_rate\" or \"latency\", found the string \"eror_rate\", did you mean \"error_rate\"?",
                ),
                ("/a/metrics/1/name", "expected \"error_rate\" or \"latency\", found 1"),
                ("/a/metrics/2/name", "the name is missing: error_rate or latency"),
                ("/a/metrics/3", "expected an object, found 7"),
                ("/a/metrics/4/quantile", "unknown field \"quantile\""),
                ("/a/metrics/4/max_ratio", "expected a number from 1 to 1000, found 0.9"),
                ("/a/metrics/5/max_absolute", "unknown field \"max_absolute\", did you mean \"max_ratio\"?"),
                ("/a/metrics/5/quantile", "expected a number from 0.5 to 0.999, found 1"),
                ("/a/metrics/6", "this metric is there twice"),
            ],
        );
    }
}
