//! What every store of counts promises, whatever it lives in.

use std::{sync::Arc, time::Duration};

use flaggate::{
    model::{Arm, ArmCounts, Latency, Users},
    store::{Batch, Counted, CounterStore},
};
use jiff::Timestamp;
use tokio::{task::JoinSet, time::sleep};

/// `counter_contract!(module, home)`: a test of each promise, in `module`, of what `home()` gives.
/// `counter_contract!(each store)`: all promises in turn, each of the store that `store(its name)` gives.
macro_rules! counter_contract {
    ($module:ident, $home:path) => {
        counter_contract! { @ ($module, $home) }
    };
    (each $store:expr) => {
        counter_contract! { @ (each $store) }
    };
    (@ $what:tt) => {
        counter_contract! {
            @ $what
            adds_up_what_gateways_count
            stamps_with_its_own_seconds
            adds_a_batch_once
            tells_who_counts
            gives_what_is_asked_for
            loses_nothing_of_many
        }
    };
    (@ ($module:ident, $home:path) $($promise:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let home = $home();
                crate::counting::$promise(home.counters.clone()).await;
            })*
        }
    };
    (@ (each $store:expr) $($promise:ident)*) => {
        {$(crate::counting::$promise($store(stringify!($promise))).await;)*}
    };
}

fn route(strategy: &str) -> Arm {
    Arm::Route { route: "shop".into(), strategy: strategy.into(), upstream: "u".into() }
}

fn variation(name: &str) -> Arm {
    Arm::Variation { flag: "a \"flag\": é".into(), variation: name.into() }
}

/// Counts of so many requests, drawn by a seed.
fn counts(seed: u64, requests: u64) -> ArmCounts {
    let mut counts = ArmCounts { requests, ..ArmCounts::default() };
    for number in 0..requests {
        let drawn = Users::hash(&format!("{seed}-{number}"));
        counts.latency.add(Latency::bucket(drawn % 500_000), 1);
        let user = Users::place(Users::hash(&format!("user-{}", drawn % 200)));
        counts.users.add(user);
        if drawn.is_multiple_of(10) {
            counts.errors += 1;
            counts.users_with_error.add(user);
        }
    }
    counts
}

fn merged(all: &[ArmCounts]) -> ArmCounts {
    let mut total = ArmCounts::default();
    all.iter().for_each(|counts| total.merge(counts));
    total
}

async fn all(counters: &dyn CounterStore) -> Counted {
    let now = counters.now().await.unwrap();
    counters.all_counts(now - Duration::from_secs(900), now + Duration::from_secs(5)).await.unwrap()
}

pub(crate) async fn adds_up_what_gateways_count(counters: Arc<dyn CounterStore>) {
    assert_eq!(all(&*counters).await, Counted::default());
    let (one, two, three) = (counts(1, 300), counts(2, 1), counts(3, 50));
    counters.add("a", vec![(route("canary"), one.clone()), (variation("on"), two.clone())]).await.unwrap();
    counters.add("b", vec![(route("canary"), three.clone())]).await.unwrap();
    counters.add("a", vec![(variation(""), one.clone())]).await.unwrap();
    let found = all(&*counters).await;
    assert_eq!(found.total(&route("canary")), merged(&[one.clone(), three]));
    assert_eq!(found.total(&variation("on")), two);
    assert_eq!(found.total(&variation("")), one);
    assert_eq!(found.total(&route("default")), ArmCounts::default());
    assert_eq!(found.arms.len(), 3);
}

pub(crate) async fn stamps_with_its_own_seconds(counters: Arc<dyn CounterStore>) {
    let began = counters.now().await.unwrap();
    for _ in 0..4 {
        counters.add("a", vec![(variation("on"), counts(1, 1))]).await.unwrap();
        sleep(Duration::from_millis(400)).await;
    }
    let ended = counters.now().await.unwrap();
    let found = all(&*counters).await;
    let seconds = &found.arms[&variation("on")];
    assert!((2..=3).contains(&seconds.len()), "{seconds:?}");
    assert!(seconds.is_sorted_by(|(one, _), (other, _)| one < other), "{seconds:?}");
    for (second, _) in seconds {
        assert_eq!(second.subsec_nanosecond(), 0);
        assert!((began.as_second()..=ended.as_second()).contains(&second.as_second()), "{second}");
    }
    let (first, rest) = (seconds[0].0, seconds[0].0 + Duration::from_secs(1));
    let asked = async |from, to| counters.counts(&[variation("on")], from, to).await.unwrap().total(&variation("on"));
    let (whole, later) = (asked(first, rest).await, asked(rest, ended + Duration::from_secs(1)).await);
    assert_eq!((whole.requests, later.requests), (seconds[0].1.requests, 4 - seconds[0].1.requests));
    // A second that has begun before is not asked for.
    let into = first + Duration::from_millis(1);
    assert_eq!(asked(into, rest).await.requests, 0);
    assert_eq!(asked(into, ended + Duration::from_secs(1)).await.requests, later.requests);
}

pub(crate) async fn adds_a_batch_once(counters: Arc<dyn CounterStore>) {
    let batch = |gateway: &str, number, requests| Batch {
        gateway: gateway.into(),
        number,
        counts: vec![(variation("on"), counts(7, requests))],
    };
    for _ in 0..3 {
        counters.deliver(&batch("a", Some(1), 1)).await.unwrap();
    }
    counters.deliver(&batch("b", Some(1), 10)).await.unwrap();
    counters.deliver(&batch("a", Some(2), 100)).await.unwrap();
    counters.deliver(&batch("a", Some(1), 1)).await.unwrap();
    counters.deliver(&batch("a", None, 1_000)).await.unwrap();
    counters.deliver(&batch("a", Some(2), 100)).await.unwrap();
    counters.deliver(&batch("a", Some(10_000_000_000), 2)).await.unwrap();
    counters.deliver(&batch("a", Some(10_000_000_000), 2)).await.unwrap();
    assert_eq!(all(&*counters).await.total(&variation("on")).requests, 1_113);
}

pub(crate) async fn tells_who_counts(counters: Arc<dyn CounterStore>) {
    let began = counters.now().await.unwrap();
    counters.add("a", Vec::new()).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    counters.add("b: é", Vec::new()).await.unwrap();
    counters.add("b: é", Vec::new()).await.unwrap();
    let found = counters.counts(&[], began, began).await.unwrap();
    assert_eq!(found.last_seen.keys().map(|gateway| &**gateway).collect::<Vec<_>>(), ["a", "b: é"]);
    assert!(found.last_seen["a"] < found.last_seen["b: é"], "{found:?}");
    assert!(found.last_seen["a"] >= began - Duration::from_millis(1), "{found:?} before {began}");
    assert!(found.arms.is_empty());
}

pub(crate) async fn gives_what_is_asked_for(counters: Arc<dyn CounterStore>) {
    counters.add("a", vec![(route("canary"), counts(1, 5)), (route("default"), counts(2, 6))]).await.unwrap();
    let now = counters.now().await.unwrap();
    let hour = Duration::from_secs(3600);
    let asked = [route("default"), route("features")];
    for (from, to) in [(now - hour, now + hour), (Timestamp::MIN, Timestamp::MAX)] {
        let found = counters.counts(&asked, from, to).await.unwrap();
        assert_eq!(found.arms.keys().collect::<Vec<_>>(), [&route("default")]);
        assert_eq!(found.total(&route("default")).requests, 6);
        assert_eq!(counters.all_counts(from, to).await.unwrap().arms.len(), 2);
    }
    for (from, to) in [(now + hour, now - hour), (now - hour, now - hour / 2), (now + hour / 2, now + hour)] {
        assert!(counters.counts(&asked, from, to).await.unwrap().arms.is_empty());
        assert!(counters.all_counts(from, to).await.unwrap().arms.is_empty());
    }
}

pub(crate) async fn loses_nothing_of_many(counters: Arc<dyn CounterStore>) {
    let mut adding = JoinSet::new();
    for gateway in 0..4_u64 {
        let counters = counters.clone();
        adding.spawn(async move {
            for number in 0..25 {
                let seed = gateway * 100 + number;
                let counts = vec![(route("canary"), counts(seed, seed % 40)), (variation("on"), counts(seed, 1))];
                let batch = Batch { gateway: gateway.to_string().into(), number: Some(number + 1), counts };
                counters.deliver(&batch).await.unwrap();
            }
        });
    }
    adding.join_all().await;
    let seeds = (0..4).flat_map(|gateway| (0..25).map(move |number| gateway * 100 + number));
    let expected: Vec<ArmCounts> = seeds.map(|seed| counts(seed, seed % 40)).collect();
    let found = all(&*counters).await;
    assert_eq!(found.total(&route("canary")), merged(&expected));
    assert_eq!(found.total(&variation("on")).requests, 100);
}
