//! Documents as they are stored and sent, and the words that evaluation answers with. Pure.

mod arm;
mod attribute;
mod change;
mod deployment;
mod difference;
mod document;
mod duration;
mod fault;
mod flag;
mod imagined;
mod kill_switch;
mod profile;
mod reason;
mod revision;
mod role;
mod segment;
mod trained;

pub use arm::{Arm, ArmCounts, Latency, LatencyBucket, Users};
pub use attribute::{Attribute, Attributes, Context, NoAttributes, parse_number};
pub use change::{Action, Change, DocumentKey, DocumentKind};
pub use deployment::DeploymentDocument;
pub use difference::{Difference, differences};
pub use document::{MAX_DOCUMENT_BYTES, MAX_KEY_BYTES, MAX_NESTING, is_writable_key, unreadable};
pub use duration::duration;
pub(crate) use duration::number_and_unit;
pub use fault::{Diagnostic, Effect, Fault};
pub use flag::FlagDocument;
pub use imagined::ImaginedRequest;
pub use kill_switch::{Activation, KillState, KillStatus, KillSwitchDocument, Recovery};
pub use profile::{Profile, WithProfile};
pub use reason::{Detail, Reason};
pub use revision::WorldRevision;
pub use role::Role;
pub use segment::SegmentDocument;
pub use trained::ModelDocument;
