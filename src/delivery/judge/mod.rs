//! The judge: is the canary worse than the baseline? Pure; it may look as often as it likes.
//!
//! What it promises: while the canary is no worse than tolerated, it fails with a probability of `alpha` at most, over all looks,
//! steps and metrics together; and it never says "pass" without enough requests, users and fresh counts. `evidence` holds the
//! formulas, `process` how evidence is carried on, `docs/delivery.md` what came out when it was simulated.
//!
//! What it assumes: errors of different users are independent, and requests of one user may well depend on each other, as a user
//! sticks to one side. So errors that come together in few users are counted as fewer (see `Sample::clustering`), and the users
//! with an error are compared as well as the requests. For latencies nothing is known by user: there requests count as
//! independent, and what is left of that is `min_users` and the tolerance in `max_ratio`.

mod analysis;
mod evidence;
mod process;
mod sample;
mod verdict;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use analysis::{Analysis, Metric, OnFailure, OnInconclusive, OnNoData};
pub use sample::{Look, Seen};
pub use verdict::{Cause, Compared, Decision, Figures, Verdict};

use evidence::{ln_sum, wilson_lower};
use process::{Counts, Process};
use sample::{CHI_SQUARE_LIMIT, Sample, sample_ratio};
use verdict::{percent, time, whole};

use crate::model::{Latency, LatencyBucket};

/// The absolute guard needs so many requests.
const GUARD_REQUESTS: f64 = 20.0;

/// The baseline's quantile is taken once so many of its requests are expected above it.
const ABOVE_QUANTILE: f64 = 20.0;

/// Numbers of users are estimates: their ratios are tolerated to be off by so much more. Two standard errors of a ratio of
/// two sketches.
const SKETCH_TOLERANCE: f64 = 1.1;

/// No larger evidence is told: JSON has no infinity.
const MOST_LN_EVIDENCE: f64 = 690.0;

/// What a judge remembers between two looks. It is stored with the deployment, so that another conductor can go on from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    metrics: Vec<Remembered>,
    last: Last,
}

/// What is remembered of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Remembered {
    of_requests: Process,
    of_users: Process,
    /// Latency: what is above this bucket is slow.
    limit: Option<LatencyBucket>,
}

/// The last counts of the step, which never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Last {
    since_start: Duration,
    canary: (f64, f64),
    baseline: (f64, f64),
}

/// A look in numbers.
#[derive(Clone, Copy, Debug)]
struct Sight<'c> {
    since_start: Duration,
    canary: Sample<'c>,
    baseline: Sample<'c>,
    expected_share: Option<f64>,
    is_fresh: bool,
}

impl Judge {
    /// A judge who has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often counting began, in all steps. While it stays, the judge comes to the same verdicts whether what it remembers
    /// was kept after the last look or after an earlier one.
    #[must_use]
    pub fn starts(&self) -> u64 {
        let of = |remembered: &Remembered| {
            u64::from(remembered.of_requests.begun()) + u64::from(remembered.of_users.begun())
        };
        self.metrics.iter().map(of).sum()
    }

    /// The next step begins: its counts begin at zero, and what the steps before gave as evidence stays.
    pub fn next_step(&mut self) {
        self.last = Last::default();
        for remembered in &mut self.metrics {
            remembered.of_requests.next_step();
            remembered.of_users.next_step();
            remembered.limit = None;
        }
    }

    /// Looks at what was counted since the step's start.
    pub fn look(&mut self, analysis: &Analysis, look: &Look<'_>) -> Verdict {
        let sight = Sight {
            since_start: look.since_start,
            canary: Sample::of(look.canary),
            baseline: Sample::of(look.baseline),
            expected_share: look.expected_share,
            is_fresh: look.is_fresh,
        };
        self.weigh(analysis, &sight)
    }

    fn weigh(&mut self, analysis: &Analysis, sight: &Sight<'_>) -> Verdict {
        let (canary, baseline) = (&sight.canary, &sight.baseline);
        let expected = sight.expected_share.filter(|share| *share > 0.0 && *share < 1.0);
        let mut figures = Figures {
            since_start: sight.since_start.as_secs_f64(),
            canary: canary.seen(),
            baseline: baseline.seen(),
            sample_ratio: expected.and_then(|expected| sample_ratio(canary.users, baseline.users, expected)),
            metrics: Vec::new(),
        };
        let (decision, cause, sentence) = self.decide(analysis, sight, &mut figures);
        let is_late = decision == Decision::Inconclusive && sight.since_start >= analysis.deadline;
        let (decision, cause, sentence) = if is_late {
            let after = time(analysis.deadline.as_secs_f64());
            (Decision::Fail, Cause::Deadline, format!("no certainty by the deadline after {after}: {sentence}"))
        } else {
            (decision, cause, sentence)
        };
        Verdict { decision, cause, sentence, figures }
    }

    /// The order matters: harm is seen even where a pass is out of the question.
    fn decide(&mut self, analysis: &Analysis, sight: &Sight<'_>, figures: &mut Figures) -> (Decision, Cause, String) {
        let inconclusive = |cause, sentence: String| (Decision::Inconclusive, cause, sentence);
        if let Some(sentence) = self.impossible(sight) {
            return inconclusive(Cause::Impossible, sentence);
        }
        if let Some(sentence) = too_many_errors(analysis, &sight.canary) {
            return (Decision::Fail, Cause::TooManyErrors, sentence);
        }
        if sight.since_start < analysis.initial_delay {
            let left = time((analysis.initial_delay - sight.since_start).as_secs_f64());
            return inconclusive(Cause::WarmingUp, format!("the initial delay is over in {left}"));
        }
        figures.metrics = self.compare(analysis, sight);
        if sight.canary.requests < 1.0 {
            let decision = match analysis.on_no_data {
                OnNoData::Inconclusive => Decision::Inconclusive,
                OnNoData::Fail => Decision::Fail,
            };
            return (decision, Cause::NoData, "the canary has no requests".to_owned());
        }
        if let Some(found) = figures.sample_ratio.filter(|found| *found > CHI_SQUARE_LIMIT) {
            let (canary, all) = (figures.canary.users, figures.canary.users + figures.baseline.users);
            let expected = percent(sight.expected_share.unwrap_or(0.0), 1.0);
            let sentence = format!(
                "{} of the users are the canary's ({} of {}) where {expected} should be: χ² {found:.1}, chance gives less than \
                 {CHI_SQUARE_LIMIT:.1}",
                percent(canary as f64, all as f64),
                whole(canary),
                whole(all),
            );
            return inconclusive(Cause::SampleRatio, sentence);
        }
        if let Some(worse) = figures.metrics.iter().find(|compared| compared.is_worse()) {
            return (Decision::Fail, Cause::Worse, worse.sentence());
        }
        if let Some((cause, sentence)) = lacks(analysis, sight, figures) {
            return inconclusive(cause, sentence);
        }
        let sentences: Vec<String> = figures.metrics.iter().map(Compared::sentence).collect();
        (Decision::Pass, Cause::NoWorse, format!("no worse: {}", sentences.join("; ")))
    }

    /// Why the counts cannot be. They are not taken in then.
    fn impossible(&mut self, sight: &Sight<'_>) -> Option<String> {
        let now = Last {
            since_start: sight.since_start,
            canary: (sight.canary.requests, sight.canary.errors),
            baseline: (sight.baseline.requests, sight.baseline.errors),
        };
        let has_more_errors = |(requests, errors): (f64, f64)| errors > requests;
        if has_more_errors(now.canary) || has_more_errors(now.baseline) {
            return Some("there are more errors than requests".to_owned());
        }
        if let Some(share) = sight.expected_share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
            return Some(format!("the canary's expected share of {share} is not between 0 and 1"));
        }
        let went_back = |now: (f64, f64), last: (f64, f64)| now.0 < last.0 || now.1 < last.1;
        let last = self.last;
        if now.since_start < last.since_start
            || went_back(now.canary, last.canary)
            || went_back(now.baseline, last.baseline)
        {
            return Some("counts are lower than at the last look".to_owned());
        }
        self.last = now;
        None
    }

    fn compare(&mut self, analysis: &Analysis, sight: &Sight<'_>) -> Vec<Compared> {
        self.metrics.resize_with(analysis.metrics.len(), Remembered::default);
        let needed = analysis.metrics.len() as f64 / analysis.alpha;
        let with_state = analysis.metrics.iter().zip(&mut self.metrics);
        let compared = with_state.filter_map(|(metric, remembered)| match *metric {
            Metric::ErrorRate { max_ratio, .. } => Some(remembered.errors(sight, analysis, (max_ratio, needed))),
            Metric::Latency { quantile, max_ratio } => remembered.latency(sight, quantile, (max_ratio, needed)),
        });
        compared.collect()
    }
}

impl Analysis {
    /// How many errors come together; where users are not asked for, they say nothing of that either.
    fn clustering(&self, side: &Sample<'_>) -> f64 {
        if self.min_users > 0 { side.clustering() } else { 1.0 }
    }
}

impl Remembered {
    fn errors(&mut self, sight: &Sight<'_>, analysis: &Analysis, (ratio, needed): (f64, f64)) -> Compared {
        let (canary, baseline) = (&sight.canary, &sight.baseline);
        let requests = Counts {
            canary_bad: canary.errors,
            canary: canary.requests,
            baseline_bad: baseline.errors,
            baseline: baseline.requests,
        };
        let users = Counts {
            canary_bad: canary.users_with_error,
            canary: canary.users,
            baseline_bad: baseline.users_with_error,
            baseline: baseline.users,
        };
        if !self.of_requests.has_begun() {
            let starts_at_once = analysis.initial_delay.is_zero();
            let (of_requests, of_users) =
                if starts_at_once { Default::default() } else { (requests, users.with_bad_ones_gone()) };
            self.of_requests.begin(of_requests, sight.since_start);
            self.of_users.begin(of_users, sight.since_start);
        }
        let seen = self.of_requests.compared(requests);
        let clustering = (analysis.clustering(canary), analysis.clustering(baseline));
        let ln_requests = self.of_requests.observe(requests, ratio, clustering);
        let ln_users = self.of_users.observe(users, ratio * SKETCH_TOLERANCE, (1.0, 1.0));
        self.of_requests.mark(requests, sight.since_start);
        // The mean of two supermartingales is one, however they depend on each other.
        let ln_both = ln_sum(ln_requests, ln_users) - std::f64::consts::LN_2;
        Compared {
            name: "error_rate".to_owned(),
            slower_than: None,
            canary: seen.of_canary(),
            baseline: seen.of_baseline(),
            clustering: clustering.0,
            evidence: told(ln_both),
            evidence_of_requests: told(ln_requests),
            evidence_of_users: Some(told(ln_users)),
            needed,
        }
    }

    fn latency(&mut self, sight: &Sight<'_>, quantile: f64, (ratio, needed): (f64, f64)) -> Option<Compared> {
        let (canary, baseline) = (sight.canary.latency, sight.baseline.latency);
        let limit = match self.limit {
            Some(limit) => limit,
            None if baseline.requests() as f64 * (1.0 - quantile) < ABOVE_QUANTILE => return None,
            None => baseline.quantile(quantile)?,
        };
        let slow = |latency: &Latency| (latency.requests(), latency.above(limit));
        let (of_canary, of_baseline) = (slow(canary), slow(baseline));
        let counts = Counts {
            canary_bad: of_canary.1 as f64,
            canary: of_canary.0 as f64,
            baseline_bad: of_baseline.1 as f64,
            baseline: of_baseline.0 as f64,
        };
        if self.limit.is_none() {
            // What the quantile was taken from is not compared with it.
            self.limit = Some(limit);
            self.of_requests.begin(counts, sight.since_start);
        }
        let seen = self.of_requests.compared(counts);
        let ln_requests = self.of_requests.observe(counts, ratio, (1.0, 1.0));
        self.of_requests.mark(counts, sight.since_start);
        Some(Compared {
            name: "latency".to_owned(),
            slower_than: Some(Latency::end(limit) as f64 / 1e6),
            canary: seen.of_canary(),
            baseline: seen.of_baseline(),
            clustering: 1.0,
            evidence: told(ln_requests),
            evidence_of_requests: told(ln_requests),
            evidence_of_users: None,
            needed,
        })
    }
}

fn told(ln_evidence: f64) -> f64 {
    ln_evidence.min(MOST_LN_EVIDENCE).exp()
}

/// The absolute guard: the canary has more errors than it may have at most, surely enough.
fn too_many_errors(analysis: &Analysis, canary: &Sample<'_>) -> Option<String> {
    let most = analysis.metrics.iter().find_map(|metric| match metric {
        Metric::ErrorRate { max_absolute, .. } => *max_absolute,
        Metric::Latency { .. } => None,
    })?;
    let clustering = analysis.clustering(canary);
    let (errors, requests) = (canary.errors / clustering, canary.requests / clustering);
    (requests >= GUARD_REQUESTS && wilson_lower(errors, requests) > most).then(|| {
        format!(
            "canary {} errors ({} of {}): surely more than the {} that are allowed at most",
            percent(canary.errors, canary.requests),
            whole(canary.seen().errors),
            whole(canary.seen().requests),
            percent(most, 1.0),
        )
    })
}

/// What is missing for a pass.
fn lacks(analysis: &Analysis, sight: &Sight<'_>, figures: &Figures) -> Option<(Cause, String)> {
    if !sight.is_fresh {
        return Some((Cause::Stale, "not all gateways have told their counts lately".to_owned()));
    }
    if figures.metrics.len() < analysis.metrics.len() {
        return Some((Cause::NoLatency, "there are too few latencies of the baseline to compare with".to_owned()));
    }
    for compared in &figures.metrics {
        let sides = [("canary", compared.canary.0), ("baseline", compared.baseline.0)];
        if let Some((name, has)) = sides.into_iter().find(|(_, has)| *has < analysis.min_requests) {
            let (has, needs) = (whole(has), whole(analysis.min_requests));
            return Some((
                Cause::FewRequests,
                format!("the {name} has {has} of {needs} requests needed for {}", compared.name),
            ));
        }
    }
    for (name, has) in [("canary", figures.canary.users), ("baseline", figures.baseline.users)] {
        if has < analysis.min_users {
            let (has, needs) = (whole(has), whole(analysis.min_users));
            return Some((Cause::FewUsers, format!("the {name} has {has} of {needs} users needed")));
        }
    }
    let loud = figures.metrics.iter().find(|compared| !compared.is_quiet())?;
    Some((Cause::Suspicion, format!("requests or users alone speak against it: {}", loud.sentence())))
}
