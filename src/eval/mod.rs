//! Evaluation of compiled flags. Pure.

mod bucket;
mod compile;
mod condition;
mod draw;
mod evaluate;
mod explain;
mod fields;
mod flag;
mod json;
mod kill;
mod lanes;
mod membership;
mod operator;
mod pattern;
mod schema;
mod segment;
mod split;
mod unit;

pub use bucket::{Hash, threshold};
pub(crate) use compile::prerequisite_key;
pub use compile::{Compiled, compile};
pub(crate) use condition::fault as condition_fault;
pub use draw::hangs_on_user_id;
pub use evaluate::{Evaluation, Evaluator, Flags, Given};
pub use explain::explain;
pub(crate) use fields::{Reader, describe, escape};
pub use flag::{CompiledFlag, FlagIndex, Outcome, VariationTally};
pub(crate) use json::equal;
pub use kill::{Affected, Breaking, Kill, KillScope, KillSwitch, Kills, Recovering, check_kill_switch};
pub(crate) use kill::{Names as KillNames, kill_references};
pub(crate) use operator::parse_time;
pub use schema::check;
pub use segment::{
    CompiledSegment, Expression, ExpressionError, Segment, SegmentIndex, SegmentNames, check_segment, compile_segment,
    explain_segment, segment_references,
};
