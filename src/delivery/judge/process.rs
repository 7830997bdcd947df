//! Evidence over time: from the start of each step, from marks within it, and over all steps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    evidence::{ln_evidence, ln_sum, tolerated_share},
    sample::rounded,
};

/// The stake of the first step's start. The rest is for all later starts.
const FIRST_STAKE: f64 = 0.8;

/// How far marks within a step are apart at first.
const MARK_EVERY: Duration = Duration::from_secs(60);

/// So many starts are kept in a step. When there are more, every second one goes, and the next marks are twice as far apart.
const MOST_STARTS: usize = 24;

/// Bad ones and all of them, at both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) canary_bad: f64,
    pub(super) canary: f64,
    pub(super) baseline_bad: f64,
    pub(super) baseline: f64,
}

impl Counts {
    /// All of the canary, and the bad ones.
    pub(super) fn of_canary(self) -> (u64, u64) {
        (rounded(self.canary), rounded(self.canary_bad))
    }

    /// All of the baseline, and the bad ones.
    pub(super) fn of_baseline(self) -> (u64, u64) {
        (rounded(self.baseline), rounded(self.baseline_bad))
    }

    /// Where the counting of users begins again: who had an error before is no longer asked, and of the others it counts who gets
    /// the first one. (Who was seen before is seen again, so distinct users cannot be subtracted.)
    pub(super) fn with_bad_ones_gone(self) -> Self {
        Self { canary: self.canary_bad, baseline: self.baseline_bad, ..self }
    }

    fn since(self, start: Self) -> Self {
        Self {
            canary_bad: (self.canary_bad - start.canary_bad).max(0.0),
            canary: (self.canary - start.canary).max(0.0),
            baseline_bad: (self.baseline_bad - start.baseline_bad).max(0.0),
            baseline: (self.baseline - start.baseline).max(0.0),
        }
    }
}

/// A place where counting began, and what was staked there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Start {
    ln_stake: f64,
    at: Counts,
}

/// A bet of 1 in all against "the canary is no worse than tolerated", split over starts: what it has become is the evidence.
///
/// With one start alone, at the beginning, an hour without a difference would speak for the canary so much that a later fault
/// would be seen late. So a part of the stake is laid aside for later starts: one at each step, where what the earlier steps
/// have become is carried on (evidence is multiplied across steps), and one each minute. The j-th later start gets
/// 0.2 / (j (j+1)), so all stakes together are 1 at most. Each stake times its evidence is a supermartingale from its start on,
/// and so is their sum, which therefore reaches k with a probability of 1/k at most.
/// Shin, Ramdas, Rinaldo: E-detectors (2023), 3; Vovk, Wang: E-values (2021), for the sums.
///
/// Invariant: the stakes of a process sum to 1 at most, whatever was thinned out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Process {
    /// The starts of this step; the first is the step's.
    starts: Vec<Start>,
    /// How many starts there were in all steps.
    begun: u32,
    /// When the last mark was made, since the step's start.
    marked_at: Duration,
    /// The time between marks, when it is not what it is at first.
    mark_every: Option<Duration>,
    /// ln of what all stakes had become at the last look; none before the first.
    ln_value: Option<f64>,
}

impl Process {
    /// Whether this step's start is there.
    pub(super) fn has_begun(&self) -> bool {
        !self.starts.is_empty()
    }

    /// How many starts there were in all steps.
    pub(super) const fn begun(&self) -> u32 {
        self.begun
    }

    /// Makes the step's start: from these counts on it counts.
    pub(super) fn begin(&mut self, at: Counts, now: Duration) {
        self.marked_at = now;
        let stake = self.next_stake();
        let ln_stake = self.ln_value.map_or(stake, |carried| ln_sum(carried, stake));
        self.starts.push(Start { ln_stake, at });
    }

    /// What was counted since this step's start.
    pub(super) fn compared(&self, counts: Counts) -> Counts {
        self.starts.first().map_or_else(Counts::default, |start| counts.since(start.at))
    }

    /// Leaves the step: what the stakes have become is carried into the next.
    pub(super) fn next_step(&mut self) {
        self.starts.clear();
        self.mark_every = None;
    }

    /// ln of what all stakes have become. `clustering` divides the bad ones of canary and baseline.
    pub(super) fn observe(&mut self, counts: Counts, ratio: f64, clustering: (f64, f64)) -> f64 {
        let values = self.starts.iter().map(|start| {
            let seen = counts.since(start.at);
            let share = tolerated_share(ratio, seen.canary, seen.baseline);
            start.ln_stake + ln_evidence(seen.canary_bad / clustering.0, seen.baseline_bad / clustering.1, share)
        });
        let value = values.reduce(ln_sum).or(self.ln_value).unwrap_or(0.0);
        self.ln_value = Some(value);
        value
    }

    /// Makes another start within the step when it is time for one.
    pub(super) fn mark(&mut self, at: Counts, now: Duration) {
        let every = self.mark_every.unwrap_or(MARK_EVERY);
        if now.saturating_sub(self.marked_at) < every {
            return;
        }
        self.marked_at = now;
        if self.starts.len() >= MOST_STARTS {
            let mut place = 0;
            self.starts.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.mark_every = Some(every * 2);
        }
        let ln_stake = self.next_stake();
        self.starts.push(Start { ln_stake, at });
    }

    /// ln of the stake of the next start.
    fn next_stake(&mut self) -> f64 {
        let later = f64::from(self.begun);
        self.begun = self.begun.saturating_add(1);
        if self.begun == 1 { FIRST_STAKE.ln() } else { ((1.0 - FIRST_STAKE) / (later * (later + 1.0))).ln() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counts(canary_bad: f64, canary: f64, baseline_bad: f64, baseline: f64) -> Counts {
        Counts { canary_bad, canary, baseline_bad, baseline }
    }

    fn stakes(process: &Process) -> f64 {
        process.starts.iter().map(|start| start.ln_stake.exp()).sum()
    }

    #[test]
    fn stakes_are_never_more_than_one() {
        let mut process = Process::default();
        process.begin(Counts::default(), Duration::ZERO);
        let mut all = stakes(&process);
        for minute in 1..=3_000 {
            process.mark(Counts::default(), Duration::from_secs(60 * minute));
            assert!(process.starts.len() <= MOST_STARTS);
            all = stakes(&process).max(all);
        }
        assert!(all <= 1.0 && all > 0.9, "{all}");
        for _ in 0..100 {
            let value = process.observe(Counts::default(), 1.5, (1.0, 1.0));
            process.next_step();
            assert!(!process.has_begun());
            process.begin(Counts::default(), Duration::ZERO);
            assert!(value.exp() <= 1.0 && stakes(&process) <= 1.0);
        }
    }

    #[test]
    fn steps_multiply() {
        let mut process = Process::default();
        process.begin(Counts::default(), Duration::ZERO);
        let first = process.observe(counts(4.0, 500.0, 40.0, 9_500.0), 1.5, (1.0, 1.0));
        process.next_step();
        process.begin(Counts::default(), Duration::ZERO);
        let second = process.observe(counts(30.0, 2_500.0, 20.0, 2_500.0), 1.5, (1.0, 1.0));
        let of_second = ln_evidence(30.0, 20.0, 0.6);
        assert!((second - (first.exp() + 0.1).ln() - of_second).abs() < 1e-9, "{first} {second} {of_second}");
    }

    /// An hour of quiet hides what comes after it for less long than it would without marks.
    #[test]
    fn marks_see_what_begins_late() {
        let (mut with, mut without) = (Process::default(), Process::default());
        with.begin(Counts::default(), Duration::ZERO);
        without.begin(Counts::default(), Duration::ZERO);
        let mut seen = Counts::default();
        let (mut noticed, mut noticed_without) = (None, None);
        for second in 1_u32..=7_200 {
            let is_bad = second > 3_600;
            seen.canary += 15.0;
            seen.baseline += 285.0;
            seen.canary_bad += if is_bad { 0.75 } else { 0.075 };
            seen.baseline_bad += 1.425;
            if with.observe(seen, 1.5, (1.0, 1.0)) > 200_f64.ln() {
                noticed.get_or_insert(second - 3_600);
            }
            if without.observe(seen, 1.5, (1.0, 1.0)) > 200_f64.ln() {
                noticed_without.get_or_insert(second - 3_600);
            }
            with.mark(seen, Duration::from_secs(second.into()));
        }
        assert!(noticed < Some(40) && noticed_without > Some(60), "{noticed:?} {noticed_without:?}");
    }
}
