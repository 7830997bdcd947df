//! Thresholds: bounds of the figures of requests, from the gateways' own counters or from a Prometheus.

use std::{sync::Arc, time::Duration};

use crate::model::{ArmCounts, Latency};

use super::read::{Faults, Fields};

/// The share of requests that have to be answered within a latency threshold, by its name.
const LATENCIES: [(&str, f64); 4] =
    [("latency_p50", 0.5), ("latency_p90", 0.9), ("latency_p95", 0.95), ("latency_p99", 0.99)];

/// Requests that figures need unless the document says otherwise.
const MIN_REQUESTS: u64 = 20;

/// The time that is looked at unless the document says otherwise.
const WINDOW: Duration = Duration::from_secs(60);

/// The longest time that is looked at: counts are kept for little longer.
const LONGEST_WINDOW: Duration = Duration::from_secs(14 * 60);

/// Bounds that figures have to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// The highest share of errors, in percent.
    error_rate: Option<f64>,
    /// The longest latencies in seconds, each with the share of requests that has to keep it.
    latencies: Vec<(&'static str, f64, f64)>,
    /// What a Prometheus is asked.
    pub query: Option<Query>,
    /// The time that is looked at: so much before now.
    pub window: Duration,
    /// With fewer requests nothing is known.
    pub min_requests: u64,
}

/// A question to a Prometheus, and the bounds of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The server.
    pub url: Arc<str>,
    /// The `PromQL` expression; its answer is one number.
    pub expr: Arc<str>,
    min: Option<f64>,
    max: Option<f64>,
}

/// What a Prometheus answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// A number, perhaps NaN.
    Number(f64),
    /// Nothing.
    Empty,
    /// It could not be asked.
    Failed(String),
}

/// How figures stand to bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measured {
    /// They keep them.
    Kept(String),
    /// They do not.
    Broken(String),
    /// It cannot be told.
    Unknown(String),
}

impl Thresholds {
    /// The thresholds of a gate.
    pub(super) fn of_gate(faults: &mut Faults, gate: &Fields<'_>) -> Self {
        let mut read = Self::empty();
        if let Some(own) = gate.object(faults, "thresholds") {
            read = Self::read(faults, &own);
        }
        read.query = gate.object(faults, "query").and_then(|query| Query::read(faults, &query));
        if read.is_empty() && gate.get("query").is_none() {
            faults.add(gate.at.clone(), "a metric_based gate has thresholds, a query, or both");
        }
        read.window(faults, gate);
        read
    }

    /// The object itself.
    pub(super) fn read(faults: &mut Faults, own: &Fields<'_>) -> Self {
        let names: Vec<&str> =
            LATENCIES.iter().map(|(name, _)| *name).chain(["error_rate", "min_requests", "window"]).collect();
        own.only(faults, &names);
        let mut read = Self { error_rate: own.number(faults, "error_rate", (0.0, 100.0)), ..Self::empty() };
        for (name, share) in LATENCIES {
            read.latencies.extend(own.number(faults, name, (0.0001, 3600.0)).map(|seconds| (name, share, seconds)));
        }
        read.window(faults, own);
        read
    }

    fn empty() -> Self {
        Self { error_rate: None, latencies: Vec::new(), query: None, window: WINDOW, min_requests: MIN_REQUESTS }
    }

    fn window(&mut self, faults: &mut Faults, own: &Fields<'_>) {
        self.min_requests = own.count(faults, "min_requests", self.min_requests).max(1);
        if let Some(window) = own.duration(faults, "window") {
            self.window = window;
        }
        if self.window > LONGEST_WINDOW {
            faults.add(own.place("window"), "counts are kept for 15 minutes: at most \"14m\"");
        }
    }

    /// Whether the gateways' own counters are not asked for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.error_rate.is_none() && self.latencies.is_empty()
    }

    /// Compares what was counted in the window.
    #[must_use]
    pub fn measure(&self, counts: &ArmCounts, is_fresh: bool) -> Measured {
        if !is_fresh {
            return Measured::Unknown("counts of all gateways: some are late".to_owned());
        }
        if counts.requests < self.min_requests {
            return Measured::Unknown(format!("requests: {} of {} were seen", counts.requests, self.min_requests));
        }
        let rate = 100.0 * counts.errors as f64 / counts.requests as f64;
        let mut told = Vec::new();
        let mut broken = Vec::new();
        if let Some(most) = self.error_rate {
            let sentence = format!("{rate:.2} % of {} requests failed, at most {most} % may", counts.requests);
            (if rate > most { &mut broken } else { &mut told }).push(sentence);
        }
        for (name, share, most) in &self.latencies {
            let Some(bucket) = counts.latency.quantile(*share) else {
                return Measured::Unknown(format!("latencies: none were counted for {name}"));
            };
            let seconds = Latency::end(bucket) as f64 / 1e6;
            let sentence = format!("{name} is {seconds:.3} s, at most {most} s may be");
            (if seconds > *most { &mut broken } else { &mut told }).push(sentence);
        }
        if broken.is_empty() { Measured::Kept(told.join("; ")) } else { Measured::Broken(broken.join("; ")) }
    }
}

impl Query {
    fn read(faults: &mut Faults, query: &Fields<'_>) -> Option<Self> {
        query.only(faults, &["prometheus", "expr", "min", "max"]);
        let url = query.needed_text(faults, "prometheus");
        let expr = query.needed_text(faults, "expr");
        let bounds = (f64::MIN, f64::MAX);
        let (min, max) = (query.number(faults, "min", bounds), query.number(faults, "max", bounds));
        if min.is_none() && max.is_none() {
            faults.add(query.at.clone(), "a query has a min, a max, or both");
        }
        let is_place = |url: &str| {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#', '@', '\\']))
        };
        if url.is_some_and(|url| !is_place(url)) {
            faults.add(
                query.place("prometheus"),
                "expected the address of a Prometheus, like \"http://prometheus:9090\"",
            );
        }
        Some(Self { url: url?.into(), expr: expr?.into(), min, max })
    }

    /// Compares what was answered.
    #[must_use]
    pub fn measure(&self, answered: &Answered) -> Measured {
        let number = match answered {
            Answered::Number(number) if number.is_finite() => *number,
            Answered::Number(number) => {
                return Measured::Unknown(format!("a number from Prometheus, which says {number}"));
            }
            Answered::Empty => return Measured::Unknown("an answer of Prometheus, which has no data".to_owned()),
            Answered::Failed(why) => return Measured::Unknown(format!("an answer of Prometheus: {why}")),
        };
        let (min, max) = (self.min.unwrap_or(f64::MIN), self.max.unwrap_or(f64::MAX));
        let bounds = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "anything".to_owned(),
        };
        let told = format!("{} is {number}, it has to be {bounds}", self.expr);
        if (min..=max).contains(&number) { Measured::Kept(told) } else { Measured::Broken(told) }
    }
}

impl Measured {
    /// What two comparisons say together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Broken(one), _) | (_, Self::Broken(one)) => Self::Broken(one),
            (Self::Unknown(one), _) | (_, Self::Unknown(one)) => Self::Unknown(one),
            (Self::Kept(one), Self::Kept(two)) => Self::Kept(format!("{one}; {two}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn thresholds(own: serde_json::Value) -> Thresholds {
        let mut faults = Faults::default();
        let read = Thresholds::read(&mut faults, &Fields::of(own.as_object().unwrap()));
        assert!(faults.0.is_empty(), "{:?}", faults.0);
        read
    }

    #[test]
    fn figures_keep_bounds_or_not() {
        let bounds = thresholds(json!({ "error_rate": 1.0, "latency_p95": 0.5, "min_requests": 100 }));
        let counts = |requests: u64, errors: u64, micros: u64| {
            let mut counts = ArmCounts { requests, errors, ..ArmCounts::default() };
            counts.latency.add(Latency::bucket(micros), requests);
            counts
        };
        assert!(matches!(bounds.measure(&counts(100, 1, 400_000), true), Measured::Kept(_)));
        assert!(matches!(bounds.measure(&counts(100, 2, 400_000), true), Measured::Broken(_)));
        assert!(matches!(bounds.measure(&counts(100, 0, 600_000), true), Measured::Broken(_)));
        assert!(matches!(bounds.measure(&counts(99, 99, 600_000), true), Measured::Unknown(_)));
        assert!(matches!(bounds.measure(&counts(100, 0, 400_000), false), Measured::Unknown(_)));
        assert!(matches!(
            bounds.measure(&ArmCounts { requests: 100, ..ArmCounts::default() }, true),
            Measured::Unknown(_)
        ));
    }

    #[test]
    fn only_a_number_is_an_answer() {
        let query = json!({ "prometheus": "http://p:9090", "expr": "up", "max": 2 });
        let query = Query::read(&mut Faults::default(), &Fields::of(query.as_object().unwrap())).unwrap();
        assert!(matches!(query.measure(&Answered::Number(2.0)), Measured::Kept(_)));
        assert!(matches!(query.measure(&Answered::Number(2.1)), Measured::Broken(_)));
        for unknown in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(Answered::Number) {
            assert!(matches!(query.measure(&unknown), Measured::Unknown(_)), "{unknown:?}");
        }
        assert!(matches!(query.measure(&Answered::Empty), Measured::Unknown(_)));
        assert!(matches!(query.measure(&Answered::Failed("down".to_owned())), Measured::Unknown(_)));
    }
}
