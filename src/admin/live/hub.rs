//! The last changes, encoded once; every client goes through them at its own speed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ahash::AHashMap;
use axum::body::Bytes;
use tokio::sync::watch;

use super::message::{Update, id_line};
use crate::{
    model::{DocumentKey, WorldRevision},
    store::Applied,
};

/// The most updates that are kept, whatever the number of changes that they came with.
const MOST_UPDATES: usize = 16_384;

/// The longest key that is told, in bytes: documents of others may have longer ones than can be written here.
pub(super) const LONGEST_KEY: usize = 1024;

/// Where every client finds the changes.
#[derive(Debug)]
pub(super) struct Hub {
    queue: u64,
    log: Mutex<Log>,
    kept: watch::Sender<Kept>,
}

/// Which changes are kept: from the first to before the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    first: u64,
    end: u64,
}

/// Invariant: holds at most as many changes as a client may be behind, and at most [`MOST_UPDATES`] updates beside those of
/// the newest change.
#[derive(Debug, Default)]
struct Log {
    /// The number of the first change that is kept.
    first: u64,
    changes: VecDeque<Arc<Changed>>,
    /// The newest change that each document is part of.
    newest: AHashMap<DocumentKey, u64>,
    updates: usize,
    current: Option<WorldRevision>,
}

/// One step, as clients are told.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) of: Of,
    /// Gives an event the id to go on from; empty for what cannot be told again.
    pub(super) id_line: Bytes,
    pub(super) updates: Vec<Update>,
}

/// What a step is of.
#[derive(Debug)]
pub(super) enum Of {
    /// Of the world, to a revision.
    World {
        /// The revision.
        revision: WorldRevision,
        /// `None`: there was nothing before, so that whoever subscribed wants to see everything.
        previous: Option<WorldRevision>,
    },
    /// Of users, who entered and left segments.
    Users,
}

impl Changed {
    /// Whether this is the first step of a world.
    pub(super) fn is_first(&self) -> bool {
        matches!(&self.of, Of::World { previous: None, .. })
    }

    /// The revision that it leads to.
    pub(super) fn revision(&self) -> Option<&WorldRevision> {
        match &self.of {
            Of::World { revision, .. } => Some(revision),
            Of::Users => None,
        }
    }
}

/// What there is for a client.
#[derive(Debug)]
pub(super) enum Next {
    /// This step, of which it gets the updates at these positions. The others are told again by a later step.
    Step(Arc<Changed>, Vec<usize>),
    /// Nothing new.
    Nothing,
    /// It is too far behind.
    TooFar,
}

impl Hub {
    pub(super) fn new(queue: u64) -> Self {
        Self { queue, log: Mutex::default(), kept: watch::Sender::default() }
    }

    /// Where a client begins that wants what comes from now on.
    pub(super) fn head(&self) -> u64 {
        self.kept.borrow().end
    }

    /// Turns when there is something new.
    pub(super) fn watch(&self) -> watch::Receiver<Kept> {
        self.kept.subscribe()
    }

    pub(super) fn push(&self, applied: &Applied) {
        let update =
            |(document, action): &(DocumentKey, _)| Update::of(document, *action, applied.at, &applied.revision);
        // What is there at first is no change, and a key that nobody could write is for /diagnostics.
        let told = if applied.previous.is_none() { &[][..] } else { &applied.changes };
        let told = told.iter().filter(|(document, _)| document.key.len() <= LONGEST_KEY);
        let Applied { revision, previous, .. } = applied;
        self.add(Changed {
            of: Of::World { revision: revision.clone(), previous: previous.clone() },
            id_line: id_line(revision),
            updates: told.map(update).collect(),
        });
    }

    /// Tells of users.
    pub(super) fn push_users(&self, updates: Vec<Update>) {
        self.add(Changed { of: Of::Users, id_line: Bytes::new(), updates });
    }

    fn add(&self, changed: Changed) {
        let kept = {
            let mut log = self.log();
            log.push(Arc::new(changed), self.queue);
            log.kept()
        };
        self.kept.send_replace(kept);
    }

    /// Forgets everything: changes were missed, and every client with them.
    pub(super) fn lose(&self) {
        let kept = {
            let mut log = self.log();
            *log = Log { first: log.kept().end + self.queue + 1, ..Log::default() };
            log.kept()
        };
        self.kept.send_replace(kept);
    }

    /// What there is for a client that comes to the change `at`, of what it `wants`.
    pub(super) fn next(&self, at: u64, wants: impl Fn(&Changed, &Update) -> bool) -> Next {
        let log = self.log();
        let kept = log.kept();
        if self.is_too_far(at, kept) {
            return Next::TooFar;
        }
        let Some(changed) = log.changes.get((at - log.first) as usize) else { return Next::Nothing };
        // Who moved is told each time; of a document, what it is now.
        let is_told = at + 1 == kept.end || changed.revision().is_none();
        let told =
            changed.updates.iter().enumerate().filter(|(_, update)| {
                wants(changed, update) && (is_told || log.newest.get(&update.document) == Some(&at))
            });
        let told = told.map(|(position, _)| position).collect();
        Next::Step(Arc::clone(changed), told)
    }

    /// Waits until a client that comes to the change `at` is too far behind.
    pub(super) async fn until_too_far(&self, at: u64) {
        // The hub lives as long as it is asked, so that this does not fail.
        if self.watch().wait_for(|kept| self.is_too_far(at, *kept)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Where a client goes on that has seen `revision`; `None`: it has to begin anew.
    pub(super) fn after(&self, revision: &WorldRevision) -> Option<u64> {
        let log = self.log();
        if log.current.as_ref().is_some_and(|current| revision.has(current)) {
            return Some(log.kept().end);
        }
        let begins = |changed: &Arc<Changed>| match &changed.of {
            Of::World { previous: Some(before), .. } => revision.has(before),
            Of::World { previous: None, .. } | Of::Users => false,
        };
        let position = log.changes.iter().rposition(begins)?;
        Some(log.first + position as u64)
    }

    fn is_too_far(&self, at: u64, Kept { first, end }: Kept) -> bool {
        at < first || end.saturating_sub(at) > self.queue
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn kept(&self) -> Kept {
        Kept { first: self.first, end: self.first + self.changes.len() as u64 }
    }

    fn push(&mut self, changed: Arc<Changed>, most: u64) {
        let number = self.kept().end;
        if let Some(revision) = changed.revision() {
            for update in &changed.updates {
                self.newest.insert(update.document.clone(), number);
            }
            self.current = Some(revision.clone());
        }
        self.updates += changed.updates.len();
        self.changes.push_back(changed);
        while self.changes.len() as u64 > most || (self.updates > MOST_UPDATES && self.changes.len() > 1) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some(dropped) = self.changes.pop_front() else { return };
        for update in &dropped.updates {
            if self.newest.get(&update.document) == Some(&self.first) {
                self.newest.remove(&update.document);
            }
        }
        self.updates -= dropped.updates.len();
        self.first += 1;
    }
}
