//! The document of a kill switch, kept as it came, unknown fields included.

use super::document::document;

document! {
    /// A kill switch as stored: what it forces to the default, and whether it does.
    KillSwitchDocument, a "kill switch", called by id, or of_id alone
}
