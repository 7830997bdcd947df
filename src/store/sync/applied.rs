//! What each publish changed, for those who tell others.

use jiff::Timestamp;

use crate::model::{Action, DocumentKey, WorldRevision};

/// How many publishes a listener may be behind before it misses some.
pub(super) const MOST_BEHIND: usize = 256;

/// One publish: the snapshot of `revision` is served when this is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What is served now.
    pub revision: WorldRevision,
    /// What was served before; `None`: this is the first snapshot.
    pub previous: Option<WorldRevision>,
    /// When it was published.
    pub at: Timestamp,
    /// The documents whose text changed, each once.
    pub changes: Vec<(DocumentKey, Action)>,
}
