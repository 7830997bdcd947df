//! Judging the new side while it has users.

use std::time::Duration;

use jiff::Timestamp;

use super::run::{Outcome, Run, since, until};
use crate::delivery::{
    deployment::{Measured, Setting, told},
    judge::{Analysis, Cause, Decision, Look, OnFailure, OnInconclusive},
};

/// A judge begins anew after so long: counts are kept for little longer.
const LONGEST_LOOK: Duration = Duration::from_secs(10 * 60);

/// A verdict that says the same as the last, for the same cause, is stored this often, so that people see that it is looked at.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// When an analysis by thresholds alone is given up.
const DEADLINE: Duration = Duration::from_secs(2 * 3600);

/// What judges say together.
enum Judged {
    /// The new side is worse.
    Worse(String),
    /// It is not.
    Good,
    /// It cannot be told.
    Unknown(String),
    /// It was not looked at now.
    NotYet,
}

impl Run<'_> {
    /// What ends a stage that waits while the new side has users; `None`: nothing.
    pub(super) fn guard(&mut self, position: usize) -> Option<Outcome> {
        match self.judged(position) {
            Judged::Worse(why) => Some(self.worse(position, why)),
            Judged::Good | Judged::Unknown(_) | Judged::NotYet => None,
        }
    }

    /// The step passes when the time has passed and the judges say that the new side is no worse, and in no other way.
    pub(super) fn analysis(&mut self, position: usize, time: Duration, begun: Timestamp) -> Outcome {
        let passed = since(begun, self.seen.now);
        let what = match self.judged(position) {
            Judged::Worse(why) => return self.worse(position, why),
            Judged::Good if passed >= time => return Outcome::Next,
            Judged::Good => None,
            Judged::NotYet => Some(None),
            Judged::Unknown(what) => Some(Some(what)),
        };
        let analysis = self.deployment.stages[position].analysis.as_ref();
        let deadline = analysis.map_or(DEADLINE, |analysis| analysis.deadline).max(time);
        let told_what = what.clone().flatten().unwrap_or_else(|| "it was not looked at".to_owned());
        if passed >= deadline {
            return Outcome::Fail(format!("no certainty by the deadline after {}: {told_what}", told(deadline)));
        }
        if let Outcome::Wait(words) = until(begun, time, self.seen.now) {
            return Outcome::Wait(format!("its analysis, {words}"));
        }
        match (what, analysis.map(|analysis| analysis.on_inconclusive)) {
            (Some(Some(what)), Some(OnInconclusive::Pause)) => {
                Outcome::Pause(format!("its analysis is inconclusive: {what}"))
            }
            (Some(Some(what)), Some(OnInconclusive::Rollback)) => {
                Outcome::Fail(format!("its analysis is inconclusive: {what}"))
            }
            (Some(Some(what)), None) => Outcome::Wait(format!("figures: {what}")),
            (Some(None) | None, _) => Outcome::Wait("the next look".to_owned()),
        }
    }

    /// What a new side that is worse leads to.
    fn worse(&mut self, position: usize, why: String) -> Outcome {
        let analysis = self.deployment.stages[position].analysis.as_ref();
        match analysis.map(|analysis| analysis.on_failure) {
            Some(OnFailure::Pause) => {
                self.status.stages[position].needs_word = true;
                Outcome::Pause(why)
            }
            Some(OnFailure::Rollback) | None => Outcome::Fail(why),
        }
    }

    fn judged(&mut self, position: usize) -> Judged {
        let stage = &self.deployment.stages[position];
        let bounds = match (&stage.thresholds, self.kept(position)) {
            (None, _) => Judged::Good,
            (Some(_), None) => Judged::NotYet,
            (Some(_), Some(Measured::Broken(why))) => Judged::Worse(why),
            (Some(_), Some(Measured::Unknown(what))) => Judged::Unknown(what),
            (Some(_), Some(Measured::Kept(_))) => Judged::Good,
        };
        let compared = match &stage.analysis {
            None => Judged::Good,
            Some(analysis) => self.compared(position, analysis),
        };
        match (bounds, compared) {
            (Judged::Worse(why), _) | (_, Judged::Worse(why)) => Judged::Worse(why),
            (Judged::Good, other) | (other, Judged::Good) => other,
            (Judged::Unknown(what), _) | (_, Judged::Unknown(what)) => Judged::Unknown(what),
            (Judged::NotYet, Judged::NotYet) => Judged::NotYet,
        }
    }

    /// Asks the judge, and remembers what it said.
    fn compared(&mut self, position: usize, analysis: &Analysis) -> Judged {
        let now = self.seen.now;
        let counts = self.looked(position).and_then(|seen| seen.look.as_ref());
        let stage = &self.deployment.stages[position];
        let state = &mut self.status.stages[position];
        let from = *state.judged_from.get_or_insert(now);
        let Some(counts) = counts else { return Judged::NotYet };
        let share = match stage.setting(state.step) {
            Some(Setting::Share(share)) => Some(share / 100.0).filter(|share| *share > 0.0 && *share < 1.0),
            Some(Setting::Switch | Setting::Back) | None => None,
        };
        let mut judge = state.judge.clone().unwrap_or_default();
        let look = Look {
            since_start: since(from, now),
            baseline: &counts.old,
            canary: &counts.new,
            expected_share: share,
            is_fresh: counts.is_fresh,
        };
        let verdict = judge.look(analysis, &look);
        let (decision, cause, sentence) = (verdict.decision, verdict.cause, verdict.sentence.clone());
        let is_known = state.verdict.as_ref().is_some_and(|known| (known.decision, known.cause) == (decision, cause))
            && state.judged_at.is_some_and(|at| since(at, now) < TOLD_EVERY);
        state.judge = Some(judge);
        if !is_known {
            (state.verdict, state.judged_at) = (Some(verdict), Some(now));
        }
        if since(from, now) >= LONGEST_LOOK {
            state.judge_anew(Some(now));
        }
        match (decision, cause) {
            // How long a step may take without a verdict counts from the step, not from the judge's first look.
            (Decision::Fail, Cause::Deadline) => {
                // It begins with words about the deadline.
                Judged::Unknown(sentence.split_once(": ").map_or(sentence.clone(), |(_, why)| why.to_owned()))
            }
            (Decision::Fail, _) => Judged::Worse(sentence),
            (Decision::Pass, _) => Judged::Good,
            (Decision::Inconclusive, _) => Judged::Unknown(sentence),
        }
    }
}
