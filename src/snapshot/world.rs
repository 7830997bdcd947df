//! The compiler's state: every document with what it last compiled to.

use std::sync::Arc;

use crate::model::{Change, DocumentKey, WorldRevision};

use super::Snapshot;

/// Compiles documents into snapshots. Keeps what is needed to recompile only what a change touches, and the last good
/// version of every document.
#[derive(Debug)]
pub struct World {
    _environment: Option<Arc<str>>,
}

impl World {
    /// An empty world; `environment` names the overrides (`environments` of a flag) that apply here.
    #[must_use]
    pub fn new(environment: Option<&str>) -> Self {
        Self { _environment: environment.map(Into::into) }
    }

    /// Replaces the world by these documents: those that are not named are gone. A document that is broken keeps its
    /// last good version, if this world has one.
    pub fn load(
        &mut self,
        _revision: WorldRevision,
        _documents: impl IntoIterator<Item = (DocumentKey, Arc<str>)>,
    ) -> Arc<Snapshot> {
        unimplemented!()
    }

    /// Applies changes; only the changed documents and their dependants are compiled.
    pub fn apply(&mut self, _revision: WorldRevision, _changes: &[Change]) -> Arc<Snapshot> {
        unimplemented!()
    }

    /// The last good text of every document, for the backup.
    pub fn last_good(&self) -> impl Iterator<Item = (&DocumentKey, &Arc<str>)> {
        std::iter::empty()
    }
}
