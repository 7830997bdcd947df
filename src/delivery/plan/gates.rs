//! Gates, and what copies have to keep.

use std::time::Duration;

use jiff::Timestamp;

use super::run::{Outcome, Run, since, until};
use crate::delivery::deployment::{Gate, GateKind, Measured, told};

/// How long it is waited for enough copies, or for figures that say something, beyond the time that was asked for.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);

impl Run<'_> {
    pub(super) fn gate(&self, position: usize, gate: &Gate, begun: Timestamp) -> Outcome {
        let now = self.seen.now;
        let outcome = match &gate.kind {
            GateKind::Manual(approvers) => {
                let given = &self.status.stages[position].approvals;
                let missing =
                    approvers.iter().filter(|name| given.iter().all(|approval| *approval.approver != ***name));
                let missing: Vec<&str> = missing.map(|name| &**name).collect();
                if missing.is_empty() {
                    return Outcome::Next;
                }
                Outcome::Wait(format!("the approval of {}", missing.join(", ")))
            }
            GateKind::Automatic(after) => until(begun, *after, now),
            GateKind::Scheduled(schedule) => match schedule.waits_for(now) {
                None => Outcome::Next,
                Some(time) => Outcome::Wait(time),
            },
            GateKind::Metric(_) => match self.figures(position) {
                Measured::Kept(_) => Outcome::Next,
                Measured::Broken(what) => Outcome::Wait(format!("its figures: {what}")),
                Measured::Unknown(what) => Outcome::Wait(what),
            },
        };
        match (outcome, gate.timeout) {
            (Outcome::Wait(what), Some(most)) if since(begun, now) >= most => Outcome::Fail(format!(
                "its {} gate did not open within {}: it waited on {what}",
                gate.kind.as_str(),
                told(most)
            )),
            (outcome, _) => outcome,
        }
    }

    /// How the figures stand that the gate of a stage looks at.
    fn figures(&self, position: usize) -> Measured {
        let state = &self.status.stages[position];
        let step = self.deployment.stages[position].steps.get(state.step);
        let Some(super::super::deployment::Step::Gate(Gate { kind: GateKind::Metric(thresholds), .. })) = step else {
            return Measured::Unknown("a gate".to_owned());
        };
        let seen = self.looked(position);
        let mut found = Vec::new();
        if !thresholds.is_empty() {
            found.push(match seen.and_then(|seen| seen.window.as_ref()) {
                Some(counts) => thresholds.measure(&counts.new, counts.is_fresh),
                None => Measured::Unknown("counts of its requests".to_owned()),
            });
        }
        if let Some(query) = &thresholds.query {
            found.push(match seen.and_then(|seen| seen.query.as_ref()) {
                Some(answered) => query.measure(answered),
                None => Measured::Unknown("an answer of Prometheus".to_owned()),
            });
        }
        found.into_iter().reduce(Measured::and).unwrap_or_else(|| Measured::Unknown("figures".to_owned()))
    }

    /// The copies that a new side gets keep the thresholds for so long.
    pub(super) fn compare(&self, position: usize, time: Duration, begun: Timestamp) -> Outcome {
        let passed = since(begun, self.seen.now);
        let what = match self.kept(position) {
            Some(Measured::Broken(what)) => {
                return Outcome::Fail(format!("the copies do not keep its thresholds: {what}"));
            }
            Some(Measured::Kept(_)) if passed >= time => return Outcome::Next,
            Some(Measured::Kept(what) | Measured::Unknown(what)) => what,
            None => "counts of the copies".to_owned(),
        };
        if passed >= time + PATIENCE {
            return Outcome::Fail(format!("its copies cannot be judged: it waited on {what}"));
        }
        match until(begun, time, self.seen.now) {
            Outcome::Wait(words) => Outcome::Wait(words),
            Outcome::Next | Outcome::Fail(_) | Outcome::Pause(_) => Outcome::Wait(what),
        }
    }

    /// How the new side stands to the stage's thresholds; `None`: it was not looked at now.
    pub(super) fn kept(&self, position: usize) -> Option<Measured> {
        let thresholds = self.deployment.stages[position].thresholds.as_ref()?;
        let counts = self.looked(position)?.window.as_ref()?;
        Some(thresholds.measure(&counts.new, counts.is_fresh))
    }
}
