//! What was counted of a flag or a route over time, from hours, minutes and the seconds that are not yet summed up.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{AnalyticsStore, Step};
use crate::{
    model::{Arm, ArmCounts, Subject},
    store::{CounterStore, StoreError},
};

/// Counts by time and arm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Each begins at a second since 1970: an hour, a minute, or a second of the last minutes.
    pub pieces: Vec<(i64, Arm, ArmCounts)>,
}

impl Series {
    /// Everything by arm.
    #[must_use]
    pub fn total(&self) -> BTreeMap<Arm, ArmCounts> {
        let mut total: BTreeMap<Arm, ArmCounts> = BTreeMap::new();
        for (_, arm, counts) in &self.pieces {
            total.entry(arm.clone()).or_default().merge(counts);
        }
        total
    }

    /// By the beginnings of steps of so many seconds, and arm.
    #[must_use]
    pub fn steps(&self, seconds: i64) -> BTreeMap<i64, BTreeMap<Arm, ArmCounts>> {
        let mut steps: BTreeMap<i64, BTreeMap<Arm, ArmCounts>> = BTreeMap::new();
        for (at, arm, counts) in &self.pieces {
            let step = at.div_euclid(seconds.max(1)) * seconds.max(1);
            steps.entry(step).or_default().entry(arm.clone()).or_default().merge(counts);
        }
        steps
    }
}

/// Reads what was counted of a flag or a route from one moment on and before another. What is older than a day is known by
/// the hour: there the time is rounded down to hours, else to minutes.
///
/// # Errors
/// The store does not answer.
pub async fn read_series(
    counters: &dyn CounterStore,
    analytics: &dyn AnalyticsStore,
    of: &Subject,
    from: Timestamp,
    to: Timestamp,
) -> Result<Series, StoreError> {
    let now = counters.now().await?;
    let (minute, hour) = (Step::Minute.seconds(), Step::Hour.seconds());
    let minutes_until = analytics.until(Step::Minute).await?.map_or(i64::MIN, |last| (last + 1) * minute);
    let hours_until = analytics.until(Step::Hour).await?.map_or(i64::MIN, |last| (last + 1) * hour);
    let to = to.as_second() + i64::from(to.subsec_nanosecond() > 0);
    let mut at = from.as_second();
    let mut series = Series::default();
    let mut take = |spans: Vec<super::Span>, step: Step| {
        for (number, arms) in spans {
            series.pieces.extend(arms.into_iter().map(|(arm, counts)| (number * step.seconds(), arm, counts)));
        }
    };
    if from < now - Step::Minute.kept() {
        let first = at.div_euclid(hour);
        let behind = (to.min(hours_until) + hour - 1).div_euclid(hour).max(first);
        take(analytics.spans(Step::Hour, of, first, behind).await?, Step::Hour);
        at = (behind * hour).max(at);
    }
    let first = at.div_euclid(minute);
    let behind = (to.min(minutes_until) + minute - 1).div_euclid(minute).max(first);
    take(analytics.spans(Step::Minute, of, first, behind).await?, Step::Minute);
    at = behind * minute;
    if at < to {
        let time = |second| Timestamp::from_second(second).unwrap_or(now);
        let counted = counters.all_counts(time(at), time(to)).await?;
        for (arm, seconds) in counted.arms.into_iter().filter(|(arm, _)| arm.subject() == *of) {
            series.pieces.extend(seconds.into_iter().map(|(at, counts)| (at.as_second(), arm.clone(), counts)));
        }
    }
    series.pieces.sort_by_key(|(at, _, _)| *at);
    Ok(series)
}
