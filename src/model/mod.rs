//! Documents as they are stored and sent, and the words that evaluation answers with. Pure.

mod attribute;
mod change;
mod difference;
mod fault;
mod flag;
mod imagined;
mod profile;
mod reason;
mod revision;
mod role;

pub use attribute::{Attribute, Attributes, Context, NoAttributes};
pub use change::{Action, Change, DocumentKey, DocumentKind};
pub use difference::{Difference, differences};
pub use fault::{Diagnostic, Effect, Fault};
pub use flag::{FlagDocument, MAX_DOCUMENT_BYTES, MAX_KEY_BYTES, MAX_NESTING, is_writable_key, unreadable};
pub use imagined::ImaginedRequest;
pub use profile::{Profile, WithProfile};
pub use reason::{Detail, Reason};
pub use revision::WorldRevision;
pub use role::Role;
