//! What is kept of traffic for long: counts by minute and hour, distinct users, and who did what after which variation.

mod experiment;
pub(super) mod local;
mod memory;
mod roll_up;
mod series;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreError;
use crate::model::{Arm, ArmCounts, Subject};

pub use experiment::{Acted, Done, Experience, Experiment, Exposure, Participant};
pub(super) use experiment::{MOST_METRICS, Participants, Record};
pub(super) use local::{Read, Write};
pub use memory::MemoryAnalytics;
pub use roll_up::roll_up;
pub use series::{Series, read_series};

/// So many users of a flag are kept at most, unless somebody says otherwise.
pub const MOST_PARTICIPANTS: usize = 65_536;

/// The users of so many flags are kept; of others not.
pub const MOST_EXPERIMENTS: usize = 64;

/// Users of a flag that nobody new sees for so long are forgotten.
pub const EXPERIMENT_KEPT: Duration = Duration::from_secs(30 * DAY);

/// The seconds of the short spans in which distinct users are counted.
pub(super) const SHORT: i64 = 600;

const DAY: u64 = 24 * 3_600;

/// How long the spans are that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// For a day.
    Minute,
    /// For 30 days.
    Hour,
}

/// What was counted in one span, by arm; the span is named by its number since 1970.
pub type Span = (i64, Vec<(Arm, ArmCounts)>);

impl Step {
    /// Its length.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }

    /// How long the counts of such spans are kept at least.
    #[must_use]
    pub const fn kept(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(DAY),
            Self::Hour => Duration::from_secs(30 * DAY),
        }
    }

    pub(super) const fn letter(self) -> &'static str {
        match self {
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }
}

/// Where analytics live. One sum for all gateways that share it; all times are the store's own.
#[async_trait]
pub trait AnalyticsStore: Send + Sync {
    /// Writes what was counted in a span that is over. Who writes it once more writes the same.
    async fn put_counts(&self, step: Step, number: i64, counts: &[(Arm, ArmCounts)]) -> Result<(), StoreError>;

    /// The number of the last span that was written; none: there was none.
    async fn until(&self, step: Step) -> Result<Option<i64>, StoreError>;

    /// The spans from one number on and before another in which a flag or a route was used, in order.
    async fn spans(&self, step: Step, of: &Subject, from: i64, to: i64) -> Result<Vec<Span>, StoreError>;

    /// The flags and routes that were used in the hours from one number on and before another, in order.
    async fn subjects(&self, from: i64, to: i64) -> Result<Vec<Subject>, StoreError>;

    /// Takes in what users met and did, unless it was taken in before, and says how many exposures there was no room for.
    async fn deliver(&self, experience: &Experience) -> Result<usize, StoreError>;

    /// About how many distinct users each arm had, to 0.8 % (standard error). The time is rounded outwards: to 10 minutes if
    /// it began within a day, else to hours.
    async fn visitors(&self, arms: &[Arm], from: Timestamp, to: Timestamp) -> Result<Vec<f64>, StoreError>;

    /// Who took part in the experiment that a flag is; none: nobody.
    async fn experiment(&self, flag: &str) -> Result<Option<Experiment>, StoreError>;

    /// The flags of which users are kept, sorted.
    async fn experiments(&self) -> Result<Vec<Arc<str>>, StoreError>;
}

/// The numbers of the spans that touch a time, and how many seconds each has.
pub(super) fn touched(from: Timestamp, to: Timestamp, now: Timestamp) -> (i64, std::ops::RangeInclusive<i64>) {
    let recent = from >= now - Step::Minute.kept();
    let seconds = if recent { SHORT } else { Step::Hour.seconds() };
    let last = to.min(now).as_nanosecond().saturating_sub(1).div_euclid(1_000_000_000);
    let oldest = (now - Step::Hour.kept()).as_second();
    let last = i64::try_from(last).unwrap_or(i64::MAX).div_euclid(seconds);
    (seconds, from.as_second().max(oldest).div_euclid(seconds)..=last)
}
