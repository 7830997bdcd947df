//! What the machine does, on its bench.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{
    machine::{Command, RefusedBecause},
    machine_bench::{Bench, KILL_SWITCHES, Model, Step, steps},
};
use crate::model::{DocumentKey, WorldRevision};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn it_always_comes_to_serve_what_the_store_holds(steps in steps()) {
        let mut bench = Bench::new();
        for step in steps {
            bench.step(step);
        }
        bench.settle();
        let served = bench.served.clone().expect("the store answered");
        match bench.machine.refusal() {
            None => prop_assert_eq!(served, bench.store),
            Some(refusal) if refusal.because == RefusedBecause::Older => {
                prop_assert!(!bench.store.revision.may_follow(&served.revision));
            }
            Some(_) => {
                prop_assert!(bench.store.documents.is_empty() && !served.documents.is_empty());
            }
        }
    }
}

/// A bench with one document served, at revision 1, and all at rest.
fn with_one_document() -> Bench {
    let mut bench = Bench::new();
    bench.write(1, Some(1));
    bench.settle();
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    (bench.loads, bench.fetched) = (0, 0);
    bench
}

/// Delivers all hints and does all commands, without more time going by than the pause after a publish.
fn deliver(bench: &mut Bench) {
    deliver_at_once(bench);
    bench.step(Step::Wait { ms: 5 });
    deliver_at_once(bench);
}

/// Delivers all hints and does all commands, without time going by.
fn deliver_at_once(bench: &mut Bench) {
    while !bench.feed.is_empty() {
        bench.step(Step::Deliver { at: 0, stays: false });
    }
    while bench.doing.is_some() {
        bench.step(Step::Finish { old: false });
    }
}

/// How long it takes to serve what the store holds, when no hint comes.
fn time_to_serve(bench: &mut Bench) -> Duration {
    let from = bench.now;
    while bench.served.as_ref() != Some(&bench.store) {
        assert!(bench.now - from < Duration::from_secs(60), "it never does");
        let next = bench.machine.poll_timeout();
        bench.step(Step::Wait { ms: (next - bench.now).as_millis() as u64 + 1 });
        deliver(bench);
    }
    bench.now - from
}

#[test]
fn the_next_hint_reads_one_document_alone() {
    let mut bench = with_one_document();
    bench.write(2, Some(2));
    deliver(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    assert_eq!((bench.loads, bench.fetched), (0, 1));
}

#[test]
fn hints_that_come_during_a_compile_make_one_next_compile() {
    let mut bench = with_one_document();
    for value in 0..100 {
        bench.write(value % 5, Some(value));
    }
    deliver(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    assert_eq!((bench.loads, bench.fetched), (0, 1 + 5), "the first hint alone, then five documents at once");
}

#[test]
fn a_lone_change_is_followed_at_once_and_those_right_after_it_together() {
    let mut bench = with_one_document();
    bench.write(2, Some(2));
    deliver_at_once(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    for value in 0..20 {
        bench.write(3 + value % 2, Some(value));
        deliver_at_once(&mut bench);
    }
    assert_eq!(bench.fetched, 1, "the pause is not over");
    bench.step(Step::Wait { ms: 4 });
    deliver_at_once(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    assert_eq!((bench.loads, bench.fetched), (0, 1 + 2));
}

#[test]
fn the_pause_grows_in_a_storm_and_is_short_again_after_it() {
    let mut bench = with_one_document();
    let pause = |bench: &mut Bench, writes: u8| {
        deliver_at_once(bench);
        for value in 0..writes {
            bench.write(2, Some(value));
        }
        deliver_at_once(bench);
        let mut waited = 0;
        while bench.served.as_ref() != Some(&bench.store) {
            bench.step(Step::Wait { ms: 1 });
            waited += 1;
            deliver_at_once(bench);
        }
        waited
    };
    let storm = [0; 6].map(|_| pause(&mut bench, 10));
    assert_eq!(storm, [4, 8, 16, 32, 32, 32]);
    let after = [0; 3].map(|_| pause(&mut bench, 1));
    assert_eq!(after, [32, 4, 4]);
}

/// Whether the kill switch is served.
fn kills(bench: &Bench) -> bool {
    let switch = DocumentKey::kill_switch(KILL_SWITCHES.to_string());
    bench.served.as_ref().is_some_and(|served| served.documents.contains_key(&switch))
}

#[test]
fn a_kill_switch_waits_for_no_pause() {
    let mut bench = with_one_document();
    bench.write(2, Some(2));
    deliver_at_once(&mut bench);
    bench.write(KILL_SWITCHES, Some(1));
    deliver_at_once(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    assert_eq!((bench.loads, bench.fetched), (0, 1 + 1), "it is read once, as nothing waits before it");
}

#[test]
fn a_kill_switch_is_served_before_what_was_written_before_it() {
    let mut bench = with_one_document();
    bench.write(2, Some(2));
    deliver_at_once(&mut bench);
    for value in 0..50 {
        bench.write(value, Some(value));
    }
    bench.write(KILL_SWITCHES, Some(1));
    for value in 0..50 {
        bench.write(value, Some(value + 1));
    }
    // All hints are there, and no time goes by.
    while !bench.feed.is_empty() {
        bench.step(Step::Deliver { at: 0, stays: false });
    }
    let mut commands = 0;
    while !kills(&bench) {
        bench.step(Step::Finish { old: false });
        commands += 1;
    }
    assert!(commands <= 2, "it is read and published, and nothing before that");
    assert_ne!(bench.served.as_ref(), Some(&bench.store), "the rest is still to come");
    deliver_at_once(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store), "and comes without a pause");
    assert_eq!((bench.loads, bench.fetched), (0, 1 + 1 + 51));
}

#[test]
fn a_kill_switch_behind_a_lost_hint_is_served_before_all_is_loaded() {
    let mut bench = with_one_document();
    bench.write(2, Some(2));
    bench.feed.clear();
    bench.write(KILL_SWITCHES, Some(1));
    bench.step(Step::Deliver { at: 0, stays: false });
    bench.step(Step::Finish { old: false });
    bench.step(Step::Finish { old: false });
    assert!(kills(&bench) && bench.loads == 0, "{:?}", bench.served);
    deliver(&mut bench);
    assert_eq!((bench.served.as_ref(), bench.loads), (Some(&bench.store), 1));
}

#[test]
fn a_flood_of_kill_switches_holds_nothing_up() {
    let mut bench = with_one_document();
    bench.write(2, Some(0));
    bench.step(Step::Deliver { at: 0, stays: false });
    for value in 0..20 {
        bench.write(2, Some(value));
        bench.write(KILL_SWITCHES + value % 2, Some(value));
        bench.step(Step::Deliver { at: 0, stays: false });
        bench.step(Step::Deliver { at: 0, stays: false });
        bench.step(Step::Finish { old: false });
    }
    let behind = bench.store.revision.number - bench.served.as_ref().unwrap().revision.number;
    assert!(behind <= 20, "{behind} writes are not served");
    deliver_at_once(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
}

#[test]
fn a_gap_loads_in_full() {
    let mut bench = with_one_document();
    bench.write(2, Some(2));
    bench.feed.clear();
    bench.write(3, Some(3));
    deliver(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    assert_eq!((bench.loads, bench.fetched), (1, 0));
}

#[test]
fn a_hint_that_comes_during_a_load_is_followed_after_it() {
    let mut bench = Bench::new();
    bench.proceed();
    bench.step(Step::Finish { old: false });
    assert!(matches!(bench.doing, Some(Command::Load)), "{:?}", bench.doing);
    bench.write(1, Some(1));
    bench.step(Step::Deliver { at: 0, stays: false });
    bench.step(Step::Finish { old: true });
    deliver(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    assert_eq!((bench.loads, bench.fetched), (1, 1));
}

#[test]
fn doubled_hints_cost_nothing() {
    let mut bench = with_one_document();
    bench.write(2, Some(2));
    bench.step(Step::Deliver { at: 0, stays: true });
    deliver(&mut bench);
    bench.write(3, Some(3));
    deliver(&mut bench);
    assert_eq!((bench.loads, bench.fetched), (0, 2));
}

#[test]
fn a_lost_last_hint_is_found_soon_after_the_others_and_without_any_at_the_latest_after_ten_seconds() {
    let mut bench = with_one_document();
    bench.write(2, Some(2));
    deliver(&mut bench);
    bench.write(3, Some(3));
    bench.feed.clear();
    let took = time_to_serve(&mut bench);
    assert!(took <= Duration::from_millis(720), "after {took:?}");
    bench.write(4, Some(4));
    bench.feed.clear();
    let took = time_to_serve(&mut bench);
    assert!(took <= Duration::from_millis(10_300), "after {took:?}");
}

#[test]
fn a_wiped_store_is_refused_until_it_holds_something() {
    let mut bench = with_one_document();
    let good = bench.served.clone();
    bench.store = Model { revision: WorldRevision { epoch: "new".into(), number: 0 }, documents: BTreeMap::new() };
    bench.settle();
    assert_eq!(bench.served, good);
    assert_eq!(bench.machine.refusal().map(|refusal| refusal.because), Some(RefusedBecause::Empty));
    let loads = bench.loads;
    bench.settle();
    assert_eq!(bench.loads, loads, "the same empty store is not loaded again and again");
    bench.write(1, Some(7));
    deliver(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    assert_eq!(bench.machine.refusal(), None);
}

#[test]
fn an_older_store_is_refused_until_it_has_caught_up_and_then_loaded_in_full() {
    let mut bench = with_one_document();
    bench.step(Step::Save);
    bench.write(1, Some(2));
    bench.write(2, Some(3));
    deliver(&mut bench);
    let good = bench.served.clone();
    bench.step(Step::FailOver);
    bench.settle();
    assert_eq!(bench.served, good);
    assert_eq!(bench.machine.refusal().map(|refusal| refusal.because), Some(RefusedBecause::Older));
    for value in 10..13 {
        bench.write(3, Some(value));
        deliver(&mut bench);
    }
    bench.settle();
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    assert_eq!(bench.machine.refusal(), None);
}

#[test]
fn removing_the_last_document_is_no_wipe() {
    let mut bench = with_one_document();
    bench.write(1, None);
    deliver(&mut bench);
    assert_eq!(bench.served.as_ref(), Some(&bench.store));
    bench.lose_subscription();
    bench.settle();
    assert_eq!(bench.machine.refusal(), None);
}

#[test]
fn waits_grow_to_two_seconds_and_shrink_again_after_the_store_held() {
    let mut bench = Bench::new();
    let mut waits = Vec::new();
    for _ in 0..10 {
        bench.proceed();
        bench.step(Step::Fail);
        let wait = bench.machine.poll_timeout() - bench.now;
        waits.push(wait.as_millis());
        bench.wait(wait);
    }
    assert!((25..=50).contains(&waits[0]), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 2000), "{waits:?}");
    assert!(waits[7..].iter().all(|wait| *wait >= 1000), "{waits:?}");
    bench.settle();
    assert!(bench.machine.is_up());
    bench.lose_subscription();
    assert!(bench.machine.poll_timeout() - bench.now <= Duration::from_millis(50));
}
