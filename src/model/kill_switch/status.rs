//! What a kill switch does at the moment, and what it did: the state, its transitions, and a record of each activation.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// So many activations are remembered.
const REMEMBERED: usize = 20;

/// Whether a switch kills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillState {
    /// It kills nothing.
    #[default]
    Inactive,
    /// It kills what it affects.
    Triggered,
    /// It lets a growing share of the users through again.
    Recovering,
}

impl KillState {
    /// The name in documents, answers and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Triggered => "triggered",
            Self::Recovering => "recovering",
        }
    }
}

/// The state of a switch. Only flaggate writes it.
///
/// Invariant: `recovery` is there exactly while the state is recovering, and the newest activation has no end exactly
/// while the state is not inactive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KillStatus {
    /// Whether it kills.
    pub state: KillState,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// Who made it so.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whether the newest activation came from a breaker.
    pub automatic: bool,
    /// How far the recovery is.
    pub recovery: Option<Recovery>,
    /// How often it was activated.
    pub activations: u64,
    /// The latest activations, newest first.
    pub history: Vec<Activation>,
}

/// How far a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// Which step, from 0.
    pub step: usize,
    /// The share of the users, in percent, who are let through.
    pub percentage: f64,
    /// Since when.
    pub since: Timestamp,
}

/// One activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// The how many-th it is, from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who, or which gateway.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether a breaker did it.
    #[serde(default)]
    pub automatic: bool,
    /// Whether it came during a recovery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relapse: bool,
    /// The share of errors, in percent, among the requests that made a breaker open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate_before: Option<f64>,
    /// The share of errors, in percent, among the same requests when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate_after: Option<f64>,
    /// How many requests a second the gateway had whose breaker opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u64>,
    /// How many requests were spared it, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_affected: Option<u64>,
    /// When the recovery began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovering_since: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_because: Option<String>,
    /// How long it was active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl KillStatus {
    /// Whether it kills anything.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state != KillState::Inactive
    }

    /// Whose request it is to end or begin something, why and when.
    fn enter(&mut self, state: KillState, by: &str, reason: &str, now: Timestamp) {
        (self.state, self.since) = (state, Some(now));
        (self.by, self.reason) = (Some(by.to_owned()), Some(reason.to_owned()));
    }

    /// Triggers it; `false`: it is triggered already, and nothing changes. `tripped` is the share of errors, in percent,
    /// that made a breaker do it; none if a person does.
    pub fn trigger(&mut self, by: &str, reason: &str, automatic: bool, tripped: Option<f64>, now: Timestamp) -> bool {
        if self.state == KillState::Triggered {
            return false;
        }
        let relapse = self.state == KillState::Recovering;
        if relapse {
            self.end(by, "it relapsed", now);
        }
        self.enter(KillState::Triggered, by, reason, now);
        (self.automatic, self.recovery) = (automatic, None);
        self.activations += 1;
        let activation = Activation {
            number: self.activations,
            at: now,
            by: by.to_owned(),
            reason: reason.to_owned(),
            automatic,
            relapse,
            error_rate_before: tripped,
            error_rate_after: None,
            requests_per_second: None,
            requests_affected: None,
            recovering_since: None,
            ended_at: None,
            ended_by: None,
            ended_because: None,
            seconds: None,
        };
        self.history.insert(0, activation);
        self.history.truncate(REMEMBERED);
        true
    }

    /// Lets the first share of the users through, or the next; `false`: there is no further step, or nothing to recover
    /// from.
    pub fn let_through(&mut self, steps: &[f64], by: &str, reason: &str, now: Timestamp) -> bool {
        let step = match (self.state, self.recovery) {
            (KillState::Inactive, _) => return false,
            (KillState::Triggered, _) | (KillState::Recovering, None) => 0,
            (KillState::Recovering, Some(recovery)) => recovery.step + 1,
        };
        let Some(percentage) = steps.get(step).copied() else { return false };
        if self.state != KillState::Recovering {
            self.enter(KillState::Recovering, by, reason, now);
        }
        self.recovery = Some(Recovery { step, percentage, since: now });
        if let Some(activation) = self.history.first_mut() {
            activation.recovering_since.get_or_insert(now);
        }
        true
    }

    /// Ends it; `false`: it kills nothing, and nothing changes.
    pub fn lift(&mut self, by: &str, reason: &str, now: Timestamp) -> bool {
        if !self.is_active() {
            return false;
        }
        self.end(by, reason, now);
        self.enter(KillState::Inactive, by, reason, now);
        self.recovery = None;
        true
    }

    /// Notes the end of the newest activation.
    fn end(&mut self, by: &str, because: &str, now: Timestamp) {
        let Some(activation) = self.history.first_mut().filter(|activation| activation.ended_at.is_none()) else {
            return;
        };
        activation.ended_at = Some(now);
        activation.ended_by = Some(by.to_owned());
        activation.ended_because = Some(because.to_owned());
        // The clock of who began it may be ahead.
        let seconds = now.duration_since(activation.at).as_secs_f64().max(0.0);
        activation.seconds = Some((seconds * 1000.0).round() / 1000.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_is_triggered_recovers_relapses_and_is_lifted() {
        let (mut status, steps) = (KillStatus::default(), [10.0, 100.0]);
        assert!(!status.lift("ann", "", at(1)) && !status.let_through(&steps, "ann", "", at(1)));
        assert!(status.trigger("ann", "broken", false, None, at(10)));
        assert!(!status.trigger("bob", "so it is", false, None, at(11)), "it is already");
        assert_eq!((status.by.as_deref(), status.activations), (Some("ann"), 1));
        assert!(status.let_through(&steps, "flaggate", "recovery", at(20)));
        assert_eq!(status.recovery, Some(Recovery { step: 0, percentage: 10.0, since: at(20) }));
        assert!(status.let_through(&steps, "flaggate", "recovery", at(30)));
        assert_eq!((status.recovery.unwrap().percentage, status.since), (100.0, Some(at(20))));
        assert!(!status.let_through(&steps, "flaggate", "recovery", at(40)), "there is no further step");
        assert!(status.trigger("gateway-1", "errors", true, Some(70.0), at(41)));
        assert_eq!((status.state, status.recovery, status.automatic), (KillState::Triggered, None, true));
        assert!(status.lift("ann", "mended", at(50)));
        let ends: Vec<_> =
            status.history.iter().map(|record| (record.number, record.relapse, record.seconds)).collect();
        assert_eq!(ends, [(2, true, Some(9.0)), (1, false, Some(31.0))]);
        assert_eq!(status.history[1].recovering_since, Some(at(20)));
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<KillStatus>(&text).unwrap(), status);
    }

    #[test]
    fn the_history_is_bounded() {
        let mut status = KillStatus::default();
        for round in 0..100 {
            status.trigger("ann", "x", false, None, at(round));
            status.lift("ann", "y", at(round));
        }
        assert_eq!((status.history.len(), status.history[0].number, status.activations), (REMEMBERED, 100, 100));
    }
}
