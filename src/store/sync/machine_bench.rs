//! A bench for the machine: a reference model of a store, a feed that loses, doubles and reorders, and answers that are old.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    Timing,
    machine::{Command, Message, SyncMachine},
};
use crate::{
    clock,
    model::{Change, DocumentKey, WorldRevision},
    store::{Action, Contents, Hint, Stored},
};

pub(super) type Documents = BTreeMap<DocumentKey, Arc<str>>;

/// The documents from this one on are kill switches, those below are flags.
pub(super) const KILL_SWITCHES: u8 = 100;

/// A store: what it holds, and at which revision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub(super) revision: WorldRevision,
    pub(super) documents: Documents,
}

/// The model, the machine, and what is between them.
pub(super) struct Bench {
    pub(super) store: Model,
    /// The store as it was when the command that is being done began.
    pub(super) at_start: Model,
    pub(super) saved: Model,
    pub(super) feed: Vec<Hint>,
    pub(super) machine: SyncMachine,
    pub(super) doing: Option<Command>,
    pub(super) served: Option<Model>,
    pub(super) now: Instant,
    pub(super) loads: usize,
    pub(super) fetched: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
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

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (prop_oneof![4 => 0..4u8, 1 => KILL_SWITCHES..KILL_SWITCHES + 2], proptest::option::weighted(0.8, any::<u8>())).prop_map(|(key, value)| Step::Write { key, value }),
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
    pub(super) fn new() -> Self {
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

    pub(super) fn step(&mut self, step: Step) {
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

    pub(super) fn write(&mut self, key: u8, value: Option<u8>) {
        let document = match key {
            KILL_SWITCHES.. => DocumentKey::kill_switch(key.to_string()),
            _ => DocumentKey::flag(key.to_string()),
        };
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
        self.feed.push(Hint { revision: self.store.revision.clone(), document, action, at: None });
    }

    pub(super) fn lose_subscription(&mut self) {
        self.feed.clear();
        self.tell(Message::SubscriptionLost);
    }

    pub(super) fn tell(&mut self, message: Message) {
        self.machine.handle_message(message, self.now);
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now);
    }

    /// Begins the next command, if there is one.
    pub(super) fn proceed(&mut self) {
        if let Some(command) = self.machine.next_command() {
            assert!(self.doing.is_none(), "two commands at a time: {:?} and {command:?}", self.doing);
            self.doing = Some(command);
            self.at_start = self.store.clone();
        }
    }

    pub(super) fn finish(&mut self, old: bool) {
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

    pub(super) fn publish(&mut self, next: Model) -> Message {
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
    pub(super) fn settle(&mut self) {
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
