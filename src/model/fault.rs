//! What is wrong with a document, and where.

use serde::Serialize;

use super::DocumentKey;

/// How far a fault reaches when the document is loaded all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The document works; the fault is refused on write only.
    Tolerated,
    /// The rule, stage, target or prerequisite at the pointer is inert; the rest works.
    Inert,
    /// The whole document is quarantined: its last good version stays, else the flag is off.
    Quarantined,
}

/// One thing that is wrong at one place of a document. On write any fault refuses the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to the place; empty for the document itself.
    pub pointer: String,
    /// What is wrong and what would be right, as a lower-case fragment.
    pub message: String,
    /// What it does to a document that is loaded.
    pub effect: Effect,
}

/// A fault of a document that is in the store, as `/diagnostics` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The document.
    #[serde(flatten)]
    pub document: DocumentKey,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// Whether an earlier, good version of the document is being served.
    pub last_good_served: bool,
}
