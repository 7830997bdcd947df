//! The immutable compiled world: documents are compiled into a [`Snapshot`], and one [`SnapshotCell`] publishes it.

mod cell;
mod world;

use crate::{
    eval::{Evaluation, FlagIndex, VariationTally},
    model::{Context, Diagnostic, Fault, FlagDocument, WorldRevision},
};

pub use cell::{Publisher, SnapshotCell};
pub use world::World;

/// The compiled world at one revision.
///
/// Invariant: nothing in it changes after it was published, but for the tallies.
#[derive(Debug)]
pub struct Snapshot {
    revision: Option<WorldRevision>,
}

/// Evaluates the flags of one snapshot for one context; prerequisites are evaluated at most once each.
pub struct Evaluator<'s, 'c> {
    _snapshot: &'s Snapshot,
    _context: Context<'c>,
}

impl Snapshot {
    /// The snapshot of nothing, before anything was loaded.
    #[must_use]
    pub fn empty() -> Self {
        Self { revision: None }
    }

    /// The revision of the documents; `None` before anything was loaded.
    #[must_use]
    pub fn revision(&self) -> Option<&WorldRevision> {
        self.revision.as_ref()
    }

    /// Finds a flag by its key.
    #[must_use]
    pub fn flag(&self, _key: &str) -> Option<FlagIndex> {
        unimplemented!()
    }

    /// How many flags there are.
    #[must_use]
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Whether there is no flag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys of all flags, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Starts evaluating for `context`. One evaluator serves one request.
    #[must_use]
    pub fn evaluator<'s, 'c>(&'s self, _context: Context<'c>) -> Evaluator<'s, 'c> {
        unimplemented!()
    }

    /// Every flag's tallies: key, variation, counts by reason.
    pub fn tallies(&self) -> impl Iterator<Item = (&str, &str, &VariationTally)> {
        std::iter::empty()
    }

    /// What is wrong with documents in the store.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        std::iter::empty()
    }

    /// Everything that is wrong with a document that someone wants to write, in itself and against the other flags
    /// (unknown or cyclic prerequisites and parents). Empty: it may be written.
    #[must_use]
    pub fn check(&self, _document: &FlagDocument) -> Vec<Fault> {
        unimplemented!()
    }

    /// The whole path of one evaluation as a JSON-serialisable trace.
    #[must_use]
    pub fn explain(&self, _flag: FlagIndex, _context: Context<'_>) -> serde_json::Value {
        unimplemented!()
    }
}

impl<'s> Evaluator<'s, '_> {
    /// Evaluates one flag. Never fails, never panics.
    pub fn evaluate(&mut self, _flag: FlagIndex) -> Evaluation<'s> {
        unimplemented!()
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::empty()
    }
}
