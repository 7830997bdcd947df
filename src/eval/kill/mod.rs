//! Kill switches: what one asks for, and which of those that are active apply to a flag, a service and a user.

mod check;
mod overlay;
mod switch;

pub use check::check as check_kill_switch;
pub(crate) use check::references as kill_references;
pub(crate) use overlay::Names;
pub use overlay::{Kill, Kills};
pub use switch::{Affected, Breaking, KillScope, KillSwitch, Recovering};
