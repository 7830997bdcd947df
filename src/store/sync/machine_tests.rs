//! The machine against a reference model: a store, a feed that loses, doubles and reorders, and answers that are old.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::machine::{Command, Message, RefusedBecause, SyncMachine, Timing};
use crate::{
    clock,
    model::{Change, DocumentKey, WorldRevision},
    store::{Action, Contents, Hint, Stored},
};

type Documents = BTreeMap<DocumentKey, Arc<str>>;

/// A store: what it holds, and at which revision.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    revision: WorldRevision,
    documents: Documents,
}

/// The model, the machine, and what is between them.
struct Bench {
    store: Model,
    /// The store as it was when the command that is being done began.
    at_start: Model,
    saved: Model,
    feed: Vec<Hint>,
    machine: SyncMachine,
    doing: Option<Command>,
    served: Option<Model>,
    now: Instant,
    loads: usize,
    fetched: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        key: u8,
        value: Option<u8>,
    },
    /// Delivers a hint from anywhere in the feed; it may stay there to be delivered again.
    Deliver {
        at: usize,
        stays: bool,
    },
    LoseHint {
        at: usize,
    },
    /// Ends the command that is being done, with the store as it was when it began or as it is now.
    Finish {
        old: bool,
    },
    Fail,
    LoseSubscription,
    Wait {
        ms: u64,
    },
    /// A copy is made of the store.
    Save,
    /// The store fails over to that copy: the subscription goes with it.
    FailOver,
    /// The store is seeded anew: another epoch, one document.
    Reseed,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..4u8, proptest::option::weighted(0.8, any::<u8>())).prop_map(|(key, value)| Step::Write { key, value }),
        6 => (any::<usize>(), proptest::bool::weighted(0.2)).prop_map(|(at, stays)| Step::Deliver { at, stays }),
        6 => Just(Step::Deliver { at: 0, stays: false }),
        1 => any::<usize>().prop_map(|at| Step::LoseHint { at }),
        12 => any::<bool>().prop_map(|old| Step::Finish { old }),
        1 => Just(Step::Fail),
        1 => Just(Step::LoseSubscription),
        4 => (0..3000u64).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Save),
        1 => Just(Step::FailOver),
        1 => Just(Step::Reseed),
    ];
    proptest::collection::vec(step, 0..120)
}

impl Bench {
    fn new() -> Self {
        let now = clock::monotonic();
        let store = Model { revision: WorldRevision { epoch: "0".into(), number: 0 }, documents: BTreeMap::new() };
        Self {
            at_start: store.clone(),
            saved: store.clone(),
            store,
            feed: Vec::new(),
            machine: SyncMachine::new(Timing::default(), 7, now),
            doing: None,
            served: None,
            now,
            loads: 0,
            fetched: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write { key, value } => self.write(key, value),
            Step::Deliver { at, stays } if !self.feed.is_empty() => {
                let at = at % self.feed.len();
                let hint = if stays { self.feed[at].clone() } else { self.feed.remove(at) };
                self.tell(Message::Hint(hint));
            }
            Step::LoseHint { at } if !self.feed.is_empty() => drop(self.feed.remove(at % self.feed.len())),
            Step::Deliver { .. } | Step::LoseHint { .. } => {}
            Step::Finish { old } => self.finish(old),
            Step::Fail => {
                if self.doing.take().is_some() {
                    self.feed.clear();
                    self.tell(Message::Failed);
                }
            }
            Step::LoseSubscription => self.lose_subscription(),
            Step::Wait { ms } => self.wait(Duration::from_millis(ms)),
            Step::Save => self.saved = self.store.clone(),
            Step::FailOver => {
                self.store = self.saved.clone();
                // What is being read is read from the store that is gone: it fails.
                self.step(Step::Fail);
                self.lose_subscription();
            }
            Step::Reseed => {
                let epoch = format!("{}'", self.store.revision.epoch);
                self.store.revision = WorldRevision { epoch: epoch.into(), number: 0 };
                self.store.documents.clear();
                self.write(9, Some(9));
            }
        }
        self.proceed();
    }

    fn write(&mut self, key: u8, value: Option<u8>) {
        let document = DocumentKey::flag(key.to_string());
        let before = match value {
            Some(value) => self.store.documents.insert(document.clone(), value.to_string().into()),
            None => self.store.documents.remove(&document),
        };
        let action = match (before, value) {
            (None, None) => return,
            (None, Some(_)) => Action::Created,
            (Some(_), Some(_)) => Action::Updated,
            (Some(_), None) => Action::Deleted,
        };
        self.store.revision.number += 1;
        self.feed.push(Hint { revision: self.store.revision.clone(), document, action });
    }

    fn lose_subscription(&mut self) {
        self.feed.clear();
        self.tell(Message::SubscriptionLost);
    }

    fn tell(&mut self, message: Message) {
        self.machine.handle_message(message, self.now);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now);
    }

    /// Begins the next command, if there is one.
    fn proceed(&mut self) {
        if let Some(command) = self.machine.next_command() {
            assert!(self.doing.is_none(), "two commands at a time: {:?} and {command:?}", self.doing);
            self.doing = Some(command);
            self.at_start = self.store.clone();
        }
    }

    fn finish(&mut self, old: bool) {
        let Some(command) = self.doing.take() else { return };
        let seen = if old { self.at_start.clone() } else { self.store.clone() };
        let message = match command {
            Command::Subscribe => {
                self.feed.clear();
                Message::Subscribed
            }
            Command::Load => {
                self.loads += 1;
                assert!(self.loads < 1000, "it loads for ever");
                assert!(self.loads < 1000, "it loads for ever");
                let stored = |(document, text): (DocumentKey, _)| Stored { document, text, revision: 1 };
                let documents = seen.documents.into_iter().map(stored).collect();
                Message::Loaded(Contents { revision: seen.revision, documents })
            }
            Command::Compare => Message::Compared(seen.revision),
            Command::Fetch(documents) => {
                self.fetched += documents.len();
                let change = |document: DocumentKey| Change { text: seen.documents.get(&document).cloned(), document };
                Message::Fetched(documents.into_iter().map(change).collect())
            }
            Command::Replace(Contents { revision, documents }) => {
                let documents = documents.into_iter().map(|stored| (stored.document, stored.text)).collect();
                self.publish(Model { revision, documents })
            }
            Command::Apply(revision, changes) => {
                let Model { revision: from, mut documents } = self.served.clone().expect("changes come after contents");
                assert_eq!(self.machine.refusal(), None, "changes of a refused store are applied");
                assert_eq!(self.machine.refusal(), None, "changes of a refused store are applied");
                assert_eq!(from.epoch, revision.epoch, "changes of one epoch are applied to contents of another");
                for Change { document, text } in changes {
                    match text {
                        Some(text) => drop(documents.insert(document, text)),
                        None => drop(documents.remove(&document)),
                    }
                }
                self.publish(Model { revision, documents })
            }
        };
        self.tell(message);
    }

    fn publish(&mut self, next: Model) -> Message {
        if let Some(served) = &self.served {
            let (from, to) = (&served.revision, &next.revision);
            assert!(to.may_follow(from), "from {from} back to {to}");
            let wiped = next.documents.is_empty() && !served.documents.is_empty();
            assert!(!wiped || (from.epoch == to.epoch && from.number < to.number), "wiped: {from} to {to}");
        }
        let empty = next.documents.is_empty();
        self.served = Some(next);
        Message::Published { empty }
    }

    /// Lets everything come to rest: what is in the feed is lost, the store answers, and time goes by.
    fn settle(&mut self) {
        self.feed.clear();
        let until = self.now + Duration::from_secs(25);
        while self.now < until {
            self.proceed();
            while self.doing.is_some() {
                self.finish(false);
                self.proceed();
            }
            let next = self.machine.poll_timeout();
            assert!(next > self.now, "it asks to be woken at once for ever");
            self.wait(next - self.now);
        }
    }
}

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
