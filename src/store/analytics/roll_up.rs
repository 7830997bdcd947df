//! Seconds into minutes, and minutes into hours, once they are over.
//!
//! A minute that is over does not change any more, so whoever sums it up gets the same: each gateway may do it, at any time, and
//! again. No leader is needed, and nothing is counted twice.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{AnalyticsStore, Step};
use crate::{
    model::{Arm, ArmCounts},
    store::{COUNTS_KEPT, CounterStore, StoreError},
};

/// How often it is looked whether a minute is over.
const EVERY: Duration = Duration::from_secs(5);

/// Sums up what is over, until `stop` is ready.
pub async fn roll_up(
    counters: Arc<dyn CounterStore>,
    analytics: Arc<dyn AnalyticsStore>,
    stop: impl Future<Output = ()>,
) {
    let rolling = async {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_well = true;
        loop {
            ticks.tick().await;
            let rolled = catch_up(&*counters, &*analytics).await;
            match (&rolled, is_well) {
                (Err(error), true) => log::warn!("analytics: minutes are not summed up: {error}"),
                (Ok(()), false) => log::info!("analytics: minutes are summed up again"),
                (Ok(()), true) | (Err(_), false) => {}
            }
            is_well = rolled.is_ok();
        }
    };
    tokio::select! {
        () = rolling => {}
        () = stop => {}
    }
}

/// Sums up all that is over and not yet summed up.
async fn catch_up(counters: &dyn CounterStore, analytics: &dyn AnalyticsStore) -> Result<(), StoreError> {
    let now = counters.now().await?.as_second();
    let minute = Step::Minute.seconds();
    let oldest = (now - i64::try_from(COUNTS_KEPT.as_secs()).unwrap_or(0)).div_euclid(minute) + 1;
    let next = analytics.until(Step::Minute).await?.map_or(oldest, |last| last.max(oldest - 1) + 1);
    for number in next..now.div_euclid(minute) {
        let at = |number: i64| jiff::Timestamp::from_second(number * minute).unwrap_or_default();
        let counted = counters.all_counts(at(number), at(number + 1)).await?;
        let counts: Vec<(Arm, ArmCounts)> = counted.arms.keys().map(|arm| (arm.clone(), counted.total(arm))).collect();
        analytics.put_counts(Step::Minute, number, &counts).await?;
    }
    let hour = Step::Hour.seconds();
    // The hour in which gateways stopped may be long ago when one starts again.
    let ago = |kept: Duration| (now - i64::try_from(kept.as_secs()).unwrap_or(0)).div_euclid(hour);
    let (first, oldest) = (ago(Step::Minute.kept()), ago(Step::Hour.kept()));
    let next = analytics.until(Step::Hour).await?.map_or(first, |last| last.max(oldest - 1) + 1);
    for number in next..now.div_euclid(hour) {
        sum_hour(analytics, number).await?;
    }
    Ok(())
}

async fn sum_hour(analytics: &dyn AnalyticsStore, number: i64) -> Result<(), StoreError> {
    let minutes = Step::Hour.seconds() / Step::Minute.seconds();
    let mut total: BTreeMap<Arm, ArmCounts> = BTreeMap::new();
    for subject in analytics.subjects(number, number + 1).await? {
        let spans = analytics.spans(Step::Minute, &subject, number * minutes, (number + 1) * minutes).await?;
        for (arm, counts) in spans.into_iter().flat_map(|(_, arms)| arms) {
            total.entry(arm).or_default().merge(&counts);
        }
    }
    analytics.put_counts(Step::Hour, number, &total.into_iter().collect::<Vec<_>>()).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::Subject,
        store::{MemoryAnalytics, MemoryCounters, read_series},
    };

    #[tokio::test]
    async fn nothing_is_lost_or_counted_twice_from_second_to_hour() {
        let time = Arc::new(AtomicI64::new(1_800_000_000));
        let now = {
            let time = Arc::clone(&time);
            move || Timestamp::from_second(time.load(Ordering::Relaxed)).unwrap()
        };
        let (counters, analytics) = (MemoryCounters::with_clock(now.clone()), MemoryAnalytics::with_clock(now.clone()));
        let arm = Arm::Variation { flag: "f".into(), variation: "on".into() };
        let began = now();
        let mut expected = 0;
        for step in 0..900_u64 {
            let counts = ArmCounts { requests: step, evaluations: 2 * step, ..ArmCounts::default() };
            counters.add("g", vec![(arm.clone(), counts)]).await.unwrap();
            expected += step;
            time.fetch_add(13, Ordering::Relaxed);
            if step % 5 == 0 {
                // Two gateways, one of which is a bit behind.
                catch_up(&counters, &analytics).await.unwrap();
                catch_up(&counters, &analytics).await.unwrap();
            }
            if step % 30 == 0 {
                let series =
                    read_series(&counters, &analytics, &Subject::Flag("f".into()), began, now()).await.unwrap();
                let total = series.total();
                assert_eq!((total[&arm].requests, total[&arm].evaluations), (expected, 2 * expected), "{step}");
            }
        }
        assert!(analytics.until(Step::Hour).await.unwrap().is_some());
        time.fetch_add(60, Ordering::Relaxed);
        catch_up(&counters, &analytics).await.unwrap();
        // Two days later the minutes are gone, and the hours are there.
        time.fetch_add(2 * 24 * 3_600, Ordering::Relaxed);
        catch_up(&counters, &analytics).await.unwrap();
        let series = read_series(&counters, &analytics, &Subject::Flag("f".into()), began, now()).await.unwrap();
        assert_eq!(series.total()[&arm].requests, expected);
        let minutes = analytics.spans(Step::Minute, &arm.subject(), 0, i64::MAX / 60).await.unwrap();
        assert_eq!(minutes, []);
        time.fetch_add(40 * 24 * 3_600, Ordering::Relaxed);
        catch_up(&counters, &analytics).await.unwrap();
        assert!(analytics.size().0 <= 2, "only until when it was summed up: {:?}", analytics.size());
    }
}
