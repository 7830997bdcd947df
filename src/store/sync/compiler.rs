//! The world that is compiled, and its way into the cell.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::metrics::SyncMetrics;
use crate::{
    clock,
    model::{Action, Change, DocumentKey, WorldRevision},
    snapshot::{Publisher, Snapshot, World},
    store::backup::LastGood,
};

/// Compiles and publishes. Its methods block for as long as that takes, so they are for blocking threads.
#[derive(Debug)]
pub(super) struct Compiler {
    environment: Option<String>,
    region: Option<String>,
    publisher: Publisher,
    metrics: SyncMetrics,
    compiled: Mutex<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    world: World,
    /// The revision of what was published last.
    revision: Option<WorldRevision>,
}

impl Compiled {
    fn nothing(environment: Option<&str>, region: Option<&str>) -> Self {
        Self { world: World::new(environment).in_region(region), revision: None }
    }
}

/// What became of the world.
#[derive(Debug)]
pub(super) struct Compilation {
    /// Whether it is empty now.
    pub(super) empty: bool,
    /// What changed in it.
    pub(super) changed: Vec<(DocumentKey, Action)>,
}

impl Compiler {
    /// For an environment and a region.
    pub(super) fn new(
        (environment, region): (Option<String>, Option<String>),
        publisher: Publisher,
        metrics: SyncMetrics,
    ) -> Self {
        let compiled = Compiled::nothing(environment.as_deref(), region.as_deref());
        Self { environment, region, publisher, metrics, compiled: Mutex::new(compiled) }
    }

    /// Replaces the world; says what became of it, or why it was not published.
    pub(super) fn replace(&self, last: LastGood) -> Result<Compilation, String> {
        self.publish(|world| world.load(last.revision, last.documents))
    }

    /// Changes the world; says what became of it, or why it was not published.
    pub(super) fn apply(&self, revision: WorldRevision, changes: &[Change]) -> Result<Compilation, String> {
        self.publish(|world| world.apply(revision, changes))
    }

    /// The last good text of every document; `None` before anything was published.
    pub(super) fn last_good(&self) -> Option<LastGood> {
        let compiled = self.compiled();
        let documents = compiled.world.last_good().map(|(document, text)| (document, text.clone())).collect();
        Some(LastGood { revision: compiled.revision.clone()?, documents })
    }

    fn publish(&self, compile: impl FnOnce(&mut World) -> std::sync::Arc<Snapshot>) -> Result<Compilation, String> {
        let mut compiled = self.compiled();
        let began = clock::monotonic();
        let snapshot = compile(&mut compiled.world);
        let (revision, empty) = (snapshot.revision().cloned(), snapshot.holds_nothing());
        if !self.publisher.publish(snapshot) {
            return Err("a snapshot was not published because a later one is served".to_owned());
        }
        self.metrics.applied(clock::monotonic().duration_since(began));
        compiled.revision = revision;
        Ok(Compilation { empty, changed: compiled.world.take_changed() })
    }

    /// A compile that panicked leaves a world that nobody can vouch for: the next one starts from nothing.
    fn compiled(&self) -> MutexGuard<'_, Compiled> {
        self.compiled.lock().unwrap_or_else(|poisoned: PoisonError<MutexGuard<'_, Compiled>>| {
            self.compiled.clear_poison();
            let mut compiled = poisoned.into_inner();
            *compiled = Compiled::nothing(self.environment.as_deref(), self.region.as_deref());
            compiled
        })
    }
}
