//! What an evaluation gives.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::Value;

use crate::model::{Detail, Reason};

/// The position of a flag in its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlagIndex(pub(crate) u32);

/// One of the values that a flag can give, with the name of its variation.
#[derive(Debug)]
pub struct Outcome {
    /// The value.
    pub value: Value,
    /// The name of the variation: a variant's, or one derived from the value. Used in answers, headers and labels.
    pub variation: Box<str>,
    /// The value as it stands in a header dictionary, if it can stand there.
    pub tally: Arc<VariationTally>,
}

/// How often a variation was given, by reason. Shared between the versions of a flag, so counts stay exact.
#[derive(Debug, Default)]
pub struct VariationTally([AtomicU64; Reason::ALL.len()]);

impl VariationTally {
    /// Counts one evaluation.
    pub fn count(&self, reason: Reason) {
        self.0[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// How many evaluations were counted with this reason.
    #[must_use]
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason.index()].load(Ordering::Relaxed)
    }
}

/// The answer to one evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'s> {
    /// The value and variation.
    pub outcome: &'s Outcome,
    /// The step that decided.
    pub reason: Reason,
    /// What qualifies the reason.
    pub detail: Option<Detail>,
}

impl<'s> Evaluation<'s> {
    /// The value.
    #[must_use]
    pub fn value(&self) -> &'s Value {
        &self.outcome.value
    }

    /// The variation's name.
    #[must_use]
    pub fn variation(&self) -> &'s str {
        &self.outcome.variation
    }

    /// Whether the flag's prerequisites held (they are not looked at when the flag is off).
    #[must_use]
    pub fn prerequisites_met(&self) -> bool {
        self.reason != Reason::PrerequisitesNotMet
    }

    /// Counts this evaluation in the flag's metrics.
    pub fn count(&self) {
        self.outcome.tally.count(self.reason);
    }
}
