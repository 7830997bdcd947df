//! The pure machine that runs a deployment: `step` looks at what there is and says what comes next.
//!
//! The status is the truth, the flags follow it. Each call derives what every flag has to be from the document and the
//! status, whatever was done before; a step counts as done only once that is seen to be so. Whoever runs the machine
//! stores the new status first and sets the flags then. Killed between the two, or after either, the next one derives the
//! same flags from the same status: no step is left out, and none is done twice.

mod command;
mod gates;
mod judging;
mod rollback;
mod run;
mod setting;
mod status;
mod want;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::deployment::{Answered, Deployment};
use crate::model::{ArmCounts, FlagDocument};

pub use command::{Command, Refused, command};
pub use setting::{is_at, with};
pub use status::{Abort, Approval, Epoch, Hold, News, StageState, StageStatus, State, Status};
pub use want::{Want, Wanted, wants};

/// What is seen of the world.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// The store's time.
    pub now: Timestamp,
    /// The flags that the deployment changes, as they are stored.
    pub flags: BTreeMap<Arc<str>, FlagDocument>,
    /// The live gateways that do not serve these flags yet; empty: all do. `None`: it is not known.
    pub behind: Option<Vec<String>>,
    /// Another deployment that runs already and touches what this one does: its name, and what that is.
    pub in_the_way: Option<(String, String)>,
    /// What was found out for stages, by their names, as [`wants`] asked.
    pub seen: BTreeMap<Arc<str>, Seen>,
}

/// What was found out for the step at which a stage is.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The step: what was found out for another is of no use.
    pub step_id: String,
    /// Which endpoints do not answer as they should, each with why; empty: all do.
    pub smoke: Option<Vec<String>>,
    /// What was counted since [`Wanted::judged_from`].
    pub look: Option<Counts>,
    /// What was counted in the thresholds' window.
    pub window: Option<Counts>,
    /// What a Prometheus answered.
    pub query: Option<Answered>,
}

/// What was counted of a stage's two sides.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Of the new side.
    pub new: ArmCounts,
    /// Of the old side, in the same seconds.
    pub old: ArmCounts,
    /// Whether every live gateway told its counts lately.
    pub is_fresh: bool,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What the status becomes; it is stored before anything is done.
    pub status: Status,
    /// What is done then.
    pub commands: Vec<SetFlag>,
}

/// A flag is set; fields that are null are taken out.
#[derive(Clone, Debug, PartialEq)]
pub struct SetFlag {
    /// The flag.
    pub flag: Arc<str>,
    /// Its fields.
    pub fields: Map<String, Value>,
}

/// The next step of a deployment.
///
/// Invariant: it depends on its arguments alone, and what it says is the same however often it is asked.
#[must_use]
pub fn step(deployment: &Deployment, status: &Status, seen: &Observation) -> Step {
    run::Run::new(deployment, status, seen).step()
}
