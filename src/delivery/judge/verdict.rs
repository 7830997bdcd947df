//! What a judge says: the decision, its reason in one sentence, and the numbers.

use serde::{Deserialize, Serialize};

use super::sample::Seen;

/// What a judge says after a look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// Why.
    pub cause: Cause,
    /// The same for people, as a lower-case fragment.
    pub sentence: String,
    /// What it was decided on.
    pub figures: Figures,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Nothing speaks against going on, and enough was seen. How long a step has to last is its own affair.
    Pass,
    /// The canary has failed.
    Fail,
    /// Neither: the step has to wait.
    Inconclusive,
}

/// Why a judge decides as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Pass: enough was seen, and nothing speaks against the canary.
    NoWorse,
    /// Fail: more errors than are allowed at most.
    TooManyErrors,
    /// Fail: worse than the baseline.
    Worse,
    /// Fail: no certainty by the deadline.
    Deadline,
    /// The canary has no requests: fail or inconclusive, as the analysis says.
    NoData,
    /// Inconclusive: the counts cannot be.
    Impossible,
    /// Inconclusive: the initial delay is not over.
    WarmingUp,
    /// Inconclusive: another part of the users goes to the canary than should.
    SampleRatio,
    /// Inconclusive: not all gateways have told their counts lately.
    Stale,
    /// Inconclusive: too few requests.
    FewRequests,
    /// Inconclusive: too few users.
    FewUsers,
    /// Inconclusive: the latencies are missing or too few to compare.
    NoLatency,
    /// Inconclusive: requests or users alone speak against the canary.
    Suspicion,
}

/// What was decided on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Seconds since the step's start.
    pub since_start: f64,
    /// The canary.
    pub canary: Seen,
    /// The stable arm in the same seconds.
    pub baseline: Seen,
    /// χ² of the split of the users; above 10.8 it is not the expected one. None: no split was expected.
    pub sample_ratio: Option<f64>,
    /// What was compared; empty before the comparison began.
    pub metrics: Vec<Compared>,
}

/// How one metric compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// `error_rate` or `latency`.
    pub name: String,
    /// Latency: longer than so many seconds is slow.
    pub slower_than: Option<f64>,
    /// Requests of the canary that were compared, and of these the bad ones.
    pub canary: (u64, u64),
    /// The same of the baseline.
    pub baseline: (u64, u64),
    /// How many errors of the canary come together with each other; 1: none do.
    pub clustering: f64,
    /// The evidence that the canary is worse, of requests and users together. 1 says nothing.
    pub evidence: f64,
    /// The evidence of the requests alone.
    pub evidence_of_requests: f64,
    /// The evidence of the users alone; none where they are not compared.
    pub evidence_of_users: Option<f64>,
    /// So much evidence fails the canary.
    pub needed: f64,
}

impl Compared {
    /// Whether this alone fails the canary.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.evidence >= self.needed
    }

    /// Whether neither requests nor users speak against the canary.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.evidence_of_requests < self.needed && self.evidence_of_users.is_none_or(|users| users < self.needed)
    }

    pub(super) fn sentence(&self) -> String {
        let what = self.slower_than.map_or_else(|| "errors".to_owned(), |limit| format!("slower than {}", time(limit)));
        format!(
            "canary {} {what} ({} of {}) against {} ({} of {}): evidence {} of {} needed",
            percent(self.canary.1 as f64, self.canary.0 as f64),
            whole(self.canary.1),
            whole(self.canary.0),
            percent(self.baseline.1 as f64, self.baseline.0 as f64),
            whole(self.baseline.1),
            whole(self.baseline.0),
            evidence(self.evidence),
            evidence(self.needed),
        )
    }
}

/// A share in percent, with two digits that say something.
pub(super) fn percent(part: f64, all: f64) -> String {
    let percent = if all > 0.0 { 100.0 * part / all } else { 0.0 };
    let digits = match percent {
        10.0.. => format!("{percent:.0}"),
        1.0.. => format!("{percent:.1}"),
        _ => format!("{percent:.2}"),
    };
    let short = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{short} %")
}

/// A number with its thousands apart.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn evidence(evidence: f64) -> String {
    match evidence {
        1e6.. => "over a million".to_owned(),
        10.0.. => whole(evidence.round() as u64),
        0.1.. => format!("{evidence:.1}"),
        _ => "0".to_owned(),
    }
}

pub(super) fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_for_people() {
        let compared = Compared {
            name: "error_rate".to_owned(),
            slower_than: None,
            canary: (1_950, 41),
            baseline: (38_000, 190),
            clustering: 1.0,
            evidence: 312.4,
            evidence_of_requests: 400.0,
            evidence_of_users: Some(224.8),
            needed: 200.0,
        };
        assert_eq!(
            compared.sentence(),
            "canary 2.1 % errors (41 of 1 950) against 0.5 % (190 of 38 000): evidence 312 of 200 needed"
        );
        let slow = Compared { slower_than: Some(0.182), evidence: 0.02, canary: (1_234_567, 0), ..compared };
        assert_eq!(
            slow.sentence(),
            "canary 0 % slower than 182 ms (0 of 1 234 567) against 0.5 % (190 of 38 000): evidence 0 of 200 needed"
        );
        let found =
            [(1.0, 3e9), (1.0, 2.0), (99.0, 1e3), (10.0, 10.0), (0.0, 0.0)].map(|(part, all)| percent(part, all));
        assert_eq!(found, ["0 %", "50 %", "9.9 %", "100 %", "0 %"]);
        assert_eq!([0.14, 9.96, 1e5, 1e9].map(evidence), ["0.1", "10.0", "100 000", "over a million"]);
        assert_eq!([0.0004, 1.26].map(time), ["0 ms", "1.3 s"]);
    }
}
