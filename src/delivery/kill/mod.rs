//! What a kill switch does by itself: it is triggered when what it guards goes wrong, lets users through again in steps, looks
//! at each step, and is triggered anew by a relapse. Pure: it is told each second what this gateway counted.

mod recovery;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

use super::breaker::{Breaker, Settings, Trip, TripReason};
use crate::{
    eval::{Breaking, KillSwitch},
    model::{ArmCounts, KillState, Latency},
};

pub use recovery::{Plan, plan};

/// What becomes of a switch.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// It is triggered.
    Trigger {
        /// A sentence for people.
        reason: String,
        /// The share of errors, in percent, among the requests that were looked at.
        error_rate: f64,
        /// How many requests a second there were before, at this gateway.
        usual: u64,
    },
    /// It lets this share of the users through, in percent: the step after the one that it is at.
    LetThrough(f64),
    /// It ends.
    Lift {
        /// The share of errors, in percent, among the requests of the last step, at this gateway; none without requests.
        error_rate: Option<f64>,
    },
}

/// The state of a switch, as far as it makes a difference here.
type Phase = (KillState, Option<usize>, Option<Timestamp>);

/// Watches over one switch, at one gateway.
#[derive(Clone, Debug)]
pub struct Watch {
    breaking: Option<Breaking>,
    phase: Phase,
    breaker: Option<Breaker>,
    /// Requests since the phase began, and the errors among them.
    seen: (u64, u64),
    /// Requests in the last second that had any.
    usual: u64,
}

impl Watch {
    /// Begins.
    #[must_use]
    pub fn new(switch: &KillSwitch, at: Duration) -> Self {
        let mut watch = Self { breaking: None, phase: phase(switch), breaker: None, seen: (0, 0), usual: 0 };
        watch.begin(switch, at);
        watch
    }

    /// Forgets what was seen: what was moved did not come to pass, so that the next bad second counts again.
    pub fn reset(&mut self, switch: &KillSwitch, at: Duration) {
        self.begin(switch, at);
    }

    /// Takes in what was counted in the last second, at `at` of a clock that never goes back, of the requests that the
    /// switch guards. `now` is the time by which its state is stamped; without it nobody is let through.
    pub fn step(
        &mut self,
        switch: &KillSwitch,
        counts: &ArmCounts,
        at: Duration,
        now: Option<Timestamp>,
    ) -> Option<Move> {
        let before = self.phase;
        if (self.phase, &self.breaking) != (phase(switch), &switch.breaking) {
            self.begin(switch, at);
        }
        // In the second in which it is lifted there may still be errors of the burst, which would trigger it anew. Another
        // gateway may have triggered it, and this one seen no more of that than that it is over.
        let (none, is_lifted) = (ArmCounts::default(), before != self.phase && self.phase.0 == KillState::Inactive);
        let counts = if is_lifted { &none } else { counts };
        self.seen = (self.seen.0 + counts.requests, self.seen.1 + counts.errors);
        let trip = self.breaker.as_mut().and_then(|breaker| {
            let slow = self.breaking.as_ref().map_or(0, |breaking| slow(breaking, counts));
            breaker.step(at, counts.requests, counts.errors, slow)
        });
        if self.phase.0 == KillState::Inactive && counts.requests > 0 {
            self.usual = counts.requests;
        }
        if let Some(trip) = trip {
            let error_rate = percent(self.phase_errors(&trip, counts), trip.requests);
            return Some(Move::Trigger { reason: told(&trip, switch), error_rate, usual: self.usual });
        }
        recovery::step(switch, self.seen, now?)
    }

    fn begin(&mut self, switch: &KillSwitch, at: Duration) {
        (self.phase, self.seen) = (phase(switch), (0, 0));
        self.breaking.clone_from(&switch.breaking);
        self.breaker = self.breaking.as_ref().map(|breaking| match self.phase.0 {
            KillState::Inactive => Breaker::new(settings(breaking)),
            KillState::Triggered => waiting(breaking, at),
            // A probe is so small that a share of it means little: any that reaches the threshold counts.
            KillState::Recovering if is_probe(switch) => {
                let mut breaker = waiting(breaking, at);
                breaker.step(at, 0, 0, 0);
                breaker
            }
            KillState::Recovering => Breaker::new(settings(breaking)),
        });
        if self.phase.0 == KillState::Triggered {
            self.breaker = None;
        }
    }

    /// The errors among the requests that made the breaker open.
    fn phase_errors(&self, trip: &Trip, counts: &ArmCounts) -> u64 {
        match trip.reason {
            TripReason::ErrorRate | TripReason::FailuresInARow => trip.bad,
            TripReason::Latency | TripReason::Relapse => counts.errors.min(trip.requests),
        }
    }
}

/// A breaker that is open and will be half open with the next step.
fn waiting(breaking: &Breaking, at: Duration) -> Breaker {
    let mut breaker = Breaker::new(Settings { timeout: Duration::ZERO, ..settings(breaking) });
    breaker.open(at);
    breaker
}

fn phase(switch: &KillSwitch) -> Phase {
    let status = &switch.status;
    (status.state, status.recovery.map(|recovery| recovery.step), status.since)
}

/// Whether it lets a few through to see what becomes of them.
fn is_probe(switch: &KillSwitch) -> bool {
    let is_first = switch.status.recovery.is_some_and(|recovery| recovery.step == 0);
    is_first && plan(switch).probes
}

fn settings(breaking: &Breaking) -> Settings {
    Settings {
        error_threshold: Some(breaking.error_threshold),
        watches_latency: breaking.latency_threshold.is_some(),
        volume_threshold: breaking.volume_threshold,
        failure_count_threshold: breaking.is_circuit.then_some(breaking.failure_count_threshold),
        // Who is let through when is a matter of the recovery, which is the same at every gateway.
        success_count_threshold: u64::MAX,
        timeout: breaking.timeout,
        half_open_requests: breaking.half_open_requests,
    }
}

fn slow(breaking: &Breaking, counts: &ArmCounts) -> u64 {
    breaking.latency_threshold.map_or(0, |threshold| {
        let micros = u64::try_from(threshold.as_micros()).unwrap_or(u64::MAX);
        counts.latency.above(Latency::bucket(micros))
    })
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 10_000.0 / whole as f64).round() / 100.0 }
}

/// `30 of 40 requests failed (75 %; it opens at 50 %)`.
fn told(trip: &Trip, switch: &KillSwitch) -> String {
    let Trip { reason, requests, bad } = trip;
    let share = percent(*bad, *requests);
    let limit = |of: fn(&Breaking) -> String| switch.breaking.as_ref().map(of).unwrap_or_default();
    match reason {
        TripReason::ErrorRate => {
            let limit = limit(|breaking| breaking.error_threshold.to_string());
            format!("{bad} of {requests} requests failed ({share} %; it opens at {limit} %)")
        }
        TripReason::Latency => {
            let limit = limit(|breaking| breaking.latency_threshold.unwrap_or_default().as_secs_f64().to_string());
            format!("{bad} of {requests} requests took longer than {limit} s")
        }
        TripReason::FailuresInARow => format!("{bad} requests in a row failed"),
        TripReason::Relapse => format!("{bad} of {requests} requests that were let through went wrong"),
    }
}
