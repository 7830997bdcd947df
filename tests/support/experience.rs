//! What every store of analytics promises, whatever it lives in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flaggate::{
    clock,
    model::{Arm, ArmCounts, Latency, Subject, Users},
    store::{Acted, AnalyticsStore, Experience, Exposure, MOST_EXPERIMENTS, Participant, Step},
};

/// `experience_contract!(module, home)`: a test of each promise, in `module`, of what `home()` gives.
/// `experience_contract!(each store)`: all promises in turn, each of the store that `store(its name)` gives.
macro_rules! experience_contract {
    ($module:ident, $home:path) => {
        experience_contract! { @ ($module, $home) }
    };
    (each $store:expr) => {
        experience_contract! { @ (each $store) }
    };
    (@ $what:tt) => {
        experience_contract! {
            @ $what
            keeps_spans_and_the_same_again
            joins_what_two_gateways_saw
            takes_each_batch_once
            keeps_a_bounded_share_of_the_users
            keeps_a_bounded_number_of_flags
            counts_distinct_users
        }
    };
    (@ ($module:ident, $home:path) $($promise:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let home = $home();
                crate::experience::$promise(home.analytics.clone()).await;
            })*
        }
    };
    (@ (each $store:expr) $($promise:ident)*) => {
        {$(crate::experience::$promise($store(stringify!($promise))).await;)*}
    };
}

fn variation(flag: &str, name: &str) -> Arm {
    Arm::Variation { flag: flag.into(), variation: name.into() }
}

fn hash(user: u64) -> u64 {
    Users::hash(&format!("user-{user}"))
}

/// What a gateway tells, with nothing in it yet.
fn batch(gateway: &str, number: u64) -> Experience {
    let (visits, exposures, actions) = (Vec::new(), Vec::new(), Vec::new());
    Experience { gateway: gateway.into(), number, visits, exposures, actions, most: 1_000 }
}

fn exposure(flag: &str, variation: &str, user: u64, seconds: u64) -> Exposure {
    let age = Duration::from_secs(seconds);
    Exposure { flag: flag.into(), variation: variation.into(), user: hash(user), age }
}

fn acted(event: &str, user: u64, value: f64, seconds: u64) -> Acted {
    Acted { user: hash(user), event: event.into(), value, age: Duration::from_secs(seconds) }
}

pub(crate) async fn keeps_spans_and_the_same_again(store: Arc<dyn AnalyticsStore>) {
    assert_eq!((store.until(Step::Minute).await.unwrap(), store.until(Step::Hour).await.unwrap()), (None, None));
    // Now, as what is long past is forgotten.
    let minute = clock::now().as_second() / 60 - 70;
    let counts = |requests: u64| {
        let mut counts = ArmCounts { requests, evaluations: requests + 1, errors: 1, ..ArmCounts::default() };
        counts.latency.add(Latency::bucket(requests * 100), requests);
        counts.users.add(Users::place(hash(requests)));
        counts
    };
    let odd = variation("a:\"flag\"/é", "on");
    let route = Arm::Route { route: "a:\"flag\"/é".into(), strategy: "canary".into(), upstream: "u".into() };
    for _ in 0..2 {
        for at in 0..70 {
            let all = [(odd.clone(), counts(1 + at as u64)), (route.clone(), counts(7))];
            let all = if at % 2 == 0 { &all[..] } else { &[] };
            store.put_counts(Step::Minute, minute + at, all).await.unwrap();
        }
        store.put_counts(Step::Hour, minute / 60, &[(odd.clone(), counts(99))]).await.unwrap();
    }
    assert_eq!(store.until(Step::Minute).await.unwrap(), Some(minute + 69));
    assert_eq!(store.until(Step::Hour).await.unwrap(), Some(minute / 60));
    let found = store.spans(Step::Minute, &odd.subject(), minute + 1, minute + 69).await.unwrap();
    let expected: Vec<_> = (1..69).filter(|at| at % 2 == 0).collect();
    assert_eq!(found.iter().map(|(number, _)| number - minute).collect::<Vec<_>>(), expected);
    for (number, arms) in found {
        assert_eq!(arms, [(odd.clone(), counts((1 + number - minute) as u64))]);
    }
    let found = store.spans(Step::Hour, &odd.subject(), 0, i64::MAX / 3_600).await.unwrap();
    assert_eq!(found, [(minute / 60, vec![(odd.clone(), counts(99))])]);
    assert_eq!(store.spans(Step::Minute, &Subject::Flag("other".into()), minute, minute + 70).await.unwrap(), []);
    let subjects = store.subjects(minute / 60, minute / 60 + 2).await.unwrap();
    assert_eq!(subjects, [odd.subject(), route.subject()]);
    assert_eq!(store.subjects(5, 5).await.unwrap(), []);
}

async fn participants(store: &dyn AnalyticsStore, flag: &str) -> BTreeMap<i64, Participant> {
    let experiment = store.experiment(flag).await.unwrap().unwrap();
    let now = clock::now().as_second();
    // By how long ago the first exposure was, in minutes.
    experiment.participants.into_iter().map(|who| ((now - who.at.as_second() + 30) / 60, who)).collect()
}

pub(crate) async fn joins_what_two_gateways_saw(store: Arc<dyn AnalyticsStore>) {
    assert_eq!(store.experiment("f").await.unwrap(), None);
    let mut a = batch("a", 1);
    a.exposures = vec![
        exposure("f", "on", 1, 600),
        exposure("f", "off", 2, 1_200),
        exposure("f", "off", 3, 300),
        exposure("g", "x", 1, 60),
    ];
    assert_eq!(store.deliver(&a).await.unwrap(), 0);
    let mut b = batch("b", 1);
    // The third was shown the other variation before, at another gateway; the fourth acted before it was shown anything.
    b.exposures = vec![exposure("f", "on", 3, 1_800), exposure("f", "on", 1, 500), exposure("f", "off", 4, 2_400)];
    b.actions = vec![
        acted("buy", 1, 10.5, 30),
        acted("buy", 1, 2.25, 20),
        acted("look", 2, 0.0, 10),
        acted("buy", 3, 5.0, 400),
        acted("buy", 4, 5.0, 3_000),
        acted("buy", 5, 5.0, 10),
    ];
    store.deliver(&b).await.unwrap();
    let found = participants(&*store, "f").await;
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [10, 20, 30, 40]);
    let told = |minutes: i64| {
        let who = &found[&minutes];
        let done = who.done.iter().map(|(event, done)| (event.to_string(), done.times, done.value)).collect::<Vec<_>>();
        (who.variation.to_string(), who.crossed, done)
    };
    assert_eq!(told(10), ("on".to_owned(), false, vec![("buy".to_owned(), 2, 12.75)]));
    assert_eq!(told(20), ("off".to_owned(), false, vec![("look".to_owned(), 1, 0.0)]));
    assert_eq!(told(30), ("on".to_owned(), true, vec![("buy".to_owned(), 1, 5.0)]));
    assert_eq!(told(40), ("off".to_owned(), false, vec![]));
    let g = participants(&*store, "g").await;
    assert_eq!(g[&1].done["buy"].times, 2, "an action counts for each flag that the user saw");
    let flags = store.experiments().await.unwrap();
    assert_eq!(flags.iter().map(|flag| &**flag).collect::<Vec<_>>(), ["f", "g"]);
}

pub(crate) async fn takes_each_batch_once(store: Arc<dyn AnalyticsStore>) {
    for number in [1, 1, 2, 1, 2, 3] {
        let mut told = batch("a", number);
        told.exposures = vec![exposure("f", "on", 1, 60)];
        told.actions = vec![acted("buy", 1, 1.0, 10)];
        store.deliver(&told).await.unwrap();
    }
    assert_eq!(participants(&*store, "f").await[&1].done["buy"].times, 3);
}

/// 4 000 users of whom 1 000 are kept at most; every fifth buys, of either half.
pub(crate) async fn keeps_a_bounded_share_of_the_users(store: Arc<dyn AnalyticsStore>) {
    const USERS: u64 = 4_000;
    for number in 0..8 {
        let mut told = batch("a", number + 1);
        let users = (number * USERS / 8)..((number + 1) * USERS / 8);
        let name = |user: u64| if user.is_multiple_of(2) { "on" } else { "off" };
        told.exposures = users.clone().map(|user| exposure("f", name(user), user, 60)).collect();
        told.actions = users.filter(|user| user.is_multiple_of(5)).map(|user| acted("buy", user, 2.0, 10)).collect();
        store.deliver(&told).await.unwrap();
    }
    let experiment = store.experiment("f").await.unwrap().unwrap();
    let kept = experiment.participants.len();
    assert!((350..=1_000).contains(&kept), "{kept}");
    assert_eq!(kept, (0..USERS).filter(|user| hash(*user).leading_zeros() >= experiment.level).count());
    let of = |name: &str| experiment.participants.iter().filter(|who| &*who.variation == name).count();
    let expected = (0..USERS).filter(|user| user % 2 == 0 && hash(*user).leading_zeros() >= experiment.level).count();
    assert_eq!((of("on"), of("off")), (expected, kept - expected));
    let bought = experiment.participants.iter().filter(|who| who.done.contains_key("buy")).count();
    let expected = (0..USERS).filter(|user| user % 5 == 0 && hash(*user).leading_zeros() >= experiment.level).count();
    assert_eq!(bought, expected);
}

pub(crate) async fn keeps_a_bounded_number_of_flags(store: Arc<dyn AnalyticsStore>) {
    let mut told = batch("a", 1);
    told.exposures = (0..MOST_EXPERIMENTS + 6).map(|flag| exposure(&format!("f{flag}"), "on", 1, 0)).collect();
    assert_eq!(store.deliver(&told).await.unwrap(), 6);
    assert_eq!(store.experiments().await.unwrap().len(), MOST_EXPERIMENTS);
}

pub(crate) async fn counts_distinct_users(store: Arc<dyn AnalyticsStore>) {
    const USERS: u64 = 30_000;
    let arms = [variation("f", "on"), variation("f", "off"), variation("f", "never")];
    for number in 0..12 {
        let mut told = batch(if number % 2 == 0 { "a" } else { "b" }, number + 1);
        let users = || (0..5_000).map(|user| hash((number * 2_500 + user) % USERS)).collect();
        told.visits = vec![(arms[0].clone(), users()), (arms[1].clone(), vec![hash(1), hash(2)])];
        store.deliver(&told).await.unwrap();
    }
    let now = clock::now() + Duration::from_secs(60);
    for from in [Duration::from_secs(3_600), Duration::from_secs(3 * 86_400)] {
        let found = store.visitors(&arms, now - from, now).await.unwrap();
        assert!((found[0] / USERS as f64 - 1.0).abs() <= 0.02, "{found:?}");
        assert_eq!((found[1].round(), found[2].round()), (2.0, 0.0));
    }
    let before =
        store.visitors(&arms, now - Duration::from_secs(7_200), now - Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(before[0].round(), 0.0);
}
