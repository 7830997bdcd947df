//! Brings what this gateway counts to the store, once a second. What does not get there at once is kept for a while.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::IntCounter;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Batch, CounterStore};
use crate::{
    clock,
    model::{Arm, ArmCounts},
    telemetry::Arms,
};

/// How often what was counted is taken.
const EVERY: Duration = Duration::from_secs(1);

/// How long counts wait for the store. What is older would stand in seconds that it has nothing to do with.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many seconds may wait for one that is being sent.
const WAITING: usize = 64;

/// How long the last counts may take at the end.
const LAST: Duration = Duration::from_millis(500);

/// Counts that were taken at one time.
type Taken = (Instant, Vec<(Arm, ArmCounts)>);

/// Takes what was counted once a second, tells who watches this gateway, and brings it to the store, until `stop` is
/// ready; then once more. `evaluated` says how often each flag was asked for since it last said so. `dropped` counts the
/// requests whose counts got nowhere.
pub async fn flush_counts(
    store: Arc<dyn CounterStore>,
    (arms, mut evaluated): (Arms, impl FnMut() -> Vec<(Arm, u64)>),
    gateway: Arc<str>,
    dropped: IntCounter,
    stop: impl Future<Output = ()>,
) {
    let (taken, mut waiting) = mpsc::channel(WAITING);
    let sampling = async {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        let mut stopping = false;
        while !stopping {
            tokio::select! {
                _ = ticks.tick() => {}
                () = &mut stop => stopping = true,
            }
            let mut counts = arms.take();
            arms.tell(&counts);
            with_evaluations(&mut counts, evaluated());
            if let Err(mpsc::error::TrySendError::Full((_, counts))) = taken.try_send((clock::monotonic(), counts)) {
                dropped.inc_by(requests(&counts));
            }
        }
        drop(taken);
    };
    let sending = async {
        let mut pending = Pending::new(gateway);
        let mut seconds = Vec::with_capacity(WAITING);
        let mut is_well = true;
        while waiting.recv_many(&mut seconds, WAITING).await > 0 {
            seconds.drain(..).for_each(|taken| pending.push(taken));
            dropped.inc_by(pending.forget(clock::monotonic()));
            let sent = if waiting.is_closed() {
                timeout(LAST, pending.send(&*store)).await.unwrap_or(Err("no answer in time".to_owned()))
            } else {
                pending.send(&*store).await
            };
            match (&sent, is_well) {
                (Err(error), true) => log::warn!("counts: they wait for the store: {error}"),
                (Ok(()), false) => log::info!("counts: the store takes them again"),
                (Ok(()), true) | (Err(_), false) => {}
            }
            is_well = sent.is_ok();
        }
        dropped.inc_by(pending.requests());
    };
    tokio::join!(sampling, sending);
}

/// Adds evaluations to the counts of their arms.
fn with_evaluations(counts: &mut Vec<(Arm, ArmCounts)>, evaluated: Vec<(Arm, u64)>) {
    // In order, as they were taken; but for those that nobody counts for any more.
    counts.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let known = counts.len();
    for (arm, evaluations) in evaluated {
        match counts[..known].binary_search_by(|(counted, _)| counted.cmp(&arm)) {
            Ok(place) => counts[place].1.evaluations += evaluations,
            Err(_) => counts.push((arm, ArmCounts { evaluations, ..ArmCounts::default() })),
        }
    }
}

/// What has yet to reach the store, oldest first. Each second stays the batch that it is: it may have arrived although no
/// answer came, and its number tells.
#[derive(Debug)]
struct Pending {
    kept: VecDeque<(Instant, Batch)>,
    gateway: Arc<str>,
    number: u64,
}

impl Pending {
    fn new(gateway: Arc<str>) -> Self {
        Self { kept: VecDeque::new(), gateway, number: 0 }
    }

    fn push(&mut self, (at, counts): Taken) {
        self.number += 1;
        self.kept.push_back((at, Batch { gateway: Arc::clone(&self.gateway), number: Some(self.number), counts }));
    }

    /// Gives up what has waited for too long, and says how many requests that were.
    fn forget(&mut self, now: Instant) -> u64 {
        let late = self.kept.partition_point(|(at, _)| now.duration_since(*at) > PATIENCE);
        self.kept.drain(..late).map(|(_, batch)| requests(&batch.counts)).sum()
    }

    /// Sends all, as far as the store takes it.
    async fn send(&mut self, store: &dyn CounterStore) -> Result<(), String> {
        while let Some((_, batch)) = self.kept.front() {
            store.deliver(batch).await.map_err(|error| error.to_string())?;
            self.kept.pop_front();
        }
        Ok(())
    }

    fn requests(&self) -> u64 {
        self.kept.iter().map(|(_, batch)| requests(&batch.counts)).sum()
    }
}

/// Requests by the ways of their routes: each is one there, however many flags were asked for it.
fn requests(counts: &[(Arm, ArmCounts)]) -> u64 {
    let of_route = |arm: &Arm| matches!(arm, Arm::Route { .. });
    counts.iter().filter(|(arm, _)| of_route(arm)).map(|(_, counts)| counts.requests).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::store::{Counted, MemoryCounters, StoreError};

    fn arm(name: &str) -> Arm {
        Arm::Route { route: name.into(), strategy: "default".into(), upstream: "u".into() }
    }

    /// What becomes of a batch.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fate {
        Answered,
        /// It does not arrive.
        Lost,
        /// It arrives, but the answer does not.
        Unanswered,
    }

    /// A store behind a bad line.
    struct Unreliable {
        counters: MemoryCounters,
        fates: Mutex<Vec<Fate>>,
    }

    impl Unreliable {
        fn new(fates: &[Fate]) -> Self {
            let fates = fates.iter().rev().copied().collect();
            Self { counters: MemoryCounters::new(), fates: Mutex::new(fates) }
        }

        async fn requests(&self, name: &str) -> u64 {
            self.counters.all_counts(Timestamp::MIN, Timestamp::MAX).await.unwrap().total(&arm(name)).requests
        }
    }

    #[async_trait]
    impl CounterStore for Unreliable {
        async fn deliver(&self, batch: &Batch) -> Result<(), StoreError> {
            let fate = self.fates.lock().unwrap().pop().unwrap_or(Fate::Answered);
            if fate != Fate::Lost {
                self.counters.deliver(batch).await?;
            }
            if fate == Fate::Answered { Ok(()) } else { Err(StoreError::Unavailable(format!("{fate:?}").into())) }
        }

        async fn counts(&self, arms: &[Arm], from: Timestamp, to: Timestamp) -> Result<Counted, StoreError> {
            self.counters.counts(arms, from, to).await
        }

        async fn all_counts(&self, from: Timestamp, to: Timestamp) -> Result<Counted, StoreError> {
            self.counters.all_counts(from, to).await
        }

        async fn now(&self) -> Result<Timestamp, StoreError> {
            self.counters.now().await
        }
    }

    fn taken(at: Instant, name: &str, requests: u64) -> Taken {
        let mut counts = ArmCounts { requests, ..ArmCounts::default() };
        counts.latency.add(7, requests);
        (at, vec![(arm(name), counts)])
    }

    #[tokio::test]
    async fn every_second_arrives_once_whatever_is_lost() {
        use Fate::{Answered, Lost, Unanswered};
        let start = clock::monotonic();
        for fates in [
            vec![],
            vec![Lost, Lost, Unanswered, Lost, Unanswered],
            vec![Unanswered, Answered, Unanswered, Unanswered],
            vec![Answered, Lost, Answered, Unanswered],
        ] {
            let store = Unreliable::new(&fates);
            let mut pending = Pending::new("g".into());
            for second in 0..10 {
                pending.push(taken(start + EVERY * second, "a", 1 << second));
                assert_eq!(pending.forget(start + EVERY * second), 0);
                pending.send(&store).await.ok();
            }
            assert_eq!((store.requests("a").await, pending.requests()), (1023, 0), "{fates:?}");
        }
    }

    #[tokio::test]
    async fn what_waits_for_too_long_is_given_up_and_counted() {
        let store = Unreliable::new(&[Fate::Lost; 100]);
        let start = clock::monotonic();
        let mut pending = Pending::new("g".into());
        let mut given_up = 0;
        for second in 0..100 {
            pending.push(taken(start + EVERY * second, "a", 1));
            given_up += pending.forget(start + EVERY * second);
            assert!(pending.send(&store).await.is_err());
        }
        assert_eq!((given_up, pending.requests()), (39, 61));
        assert_eq!(pending.send(&store).await, Ok(()));
        assert_eq!((store.requests("a").await, pending.requests()), (61, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_second_is_brought_too() {
        let store = Arc::new(Unreliable::new(&[]));
        let (arms, dropped) = (Arms::new(), IntCounter::new("d", "d").unwrap());
        let mut watching = arms.watch();
        let cell = arms.cell(arm("a"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (counters, flushed) = (Arc::clone(&store) as Arc<dyn CounterStore>, dropped.clone());
        let mut evaluations = vec![(arm("a"), 1), (arm("b"), 7)];
        let evaluated = move || std::mem::take(&mut evaluations);
        let stopping = async { drop(stopped.await) };
        let flushing = flush_counts(counters, (arms.clone(), evaluated), "g".into(), flushed, stopping);
        let requests = async {
            for number in 0..35 {
                cell.count(number, false, None);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            cell.count(1, true, None);
            stop.send(()).unwrap();
        };
        tokio::join!(flushing, requests);
        assert_eq!((store.requests("a").await, dropped.get()), (36, 0));
        let counted = store.all_counts(Timestamp::MIN, Timestamp::MAX).await.unwrap();
        assert_eq!(["a", "b"].map(|name| counted.total(&arm(name)).evaluations), [1, 7]);
        let mut seen = 0;
        while let Ok(second) = watching.try_recv() {
            seen += second.iter().map(|(_, counts)| counts.requests).sum::<u64>();
        }
        assert_eq!(seen, 36);
    }
}
