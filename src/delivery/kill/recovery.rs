//! How a switch that was triggered lets users through again.

use std::time::Duration;

use jiff::Timestamp;

use super::{Move, percent};
use crate::{eval::KillSwitch, model::KillState};

/// The smallest share of the users that a probe lets through, in percent: one bucket.
const SMALLEST: f64 = 0.01;

/// How a switch recovers.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Whether it begins by itself.
    pub is_automatic: bool,
    /// How long after it was triggered.
    pub delay: Duration,
    /// The shares of the users who are let through, in percent.
    pub steps: Vec<f64>,
    /// Whether the first step is as small as a look at a few requests needs.
    pub probes: bool,
}

/// How a switch recovers. What people triggered, people end: only what a breaker triggered recovers by itself.
#[must_use]
pub fn plan(switch: &KillSwitch) -> Plan {
    let recovering = &switch.recovering;
    let is_automatic = switch.status.automatic;
    let Some(breaking) = switch.breaking.as_ref().filter(|breaking| breaking.is_circuit && is_automatic) else {
        return Plan {
            is_automatic: is_automatic && recovering.is_automatic,
            delay: recovering.delay,
            steps: recovering.steps.clone(),
            probes: false,
        };
    };
    let usual = switch.status.history.first().and_then(|activation| activation.requests_per_second).unwrap_or(1);
    let wanted = breaking.half_open_requests as f64 * 100.0 / usual.max(1) as f64;
    let probe = ((wanted * 100.0).ceil() / 100.0).clamp(SMALLEST, 100.0);
    let mut steps = vec![probe];
    if recovering.is_automatic {
        steps.extend(recovering.steps.iter().copied().filter(|step| *step > probe));
    }
    Plan { is_automatic: true, delay: breaking.timeout, steps, probes: true }
}

/// What is due at `now`. `seen` are the requests and errors since the step began, at this gateway.
pub(super) fn step(switch: &KillSwitch, (requests, errors): (u64, u64), now: Timestamp) -> Option<Move> {
    let (status, plan) = (&switch.status, plan(switch));
    match (status.state, status.recovery) {
        (KillState::Inactive, _) => None,
        (KillState::Triggered, _) | (KillState::Recovering, None) => {
            let is_due = plan.is_automatic && has_passed(status.since?, plan.delay, now);
            is_due.then(|| plan.steps.first().copied().map(Move::LetThrough)).flatten()
        }
        (KillState::Recovering, Some(recovery)) => {
            let time = if plan.probes && recovery.step == 0 { Duration::ZERO } else { switch.recovering.step };
            // Silence is no success: who could tell whether it is well waits until somebody was let through, and was served.
            let is_well = switch
                .breaking
                .as_ref()
                .is_none_or(|breaking| requests - errors.min(requests) >= breaking.success_count_threshold);
            if !is_well || !has_passed(recovery.since, time, now) {
                return None;
            }
            let next = plan.steps.get(recovery.step + 1).copied();
            let error_rate = (requests > 0).then(|| percent(errors, requests));
            Some(next.map_or(Move::Lift { error_rate }, Move::LetThrough))
        }
    }
}

fn has_passed(since: Timestamp, time: Duration, now: Timestamp) -> bool {
    let passed = now.duration_since(since);
    !passed.is_negative() && passed.unsigned_abs() >= time
}
