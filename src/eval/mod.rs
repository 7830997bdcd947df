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
mod lanes;
mod operator;
mod schema;

pub use bucket::{Hash, threshold};
pub(crate) use compile::prerequisite_key;
pub use compile::{Compiled, compile};
pub use draw::hangs_on_user_id;
pub use evaluate::{Evaluation, Evaluator, Flags};
pub use explain::explain;
pub use flag::{CompiledFlag, FlagIndex, Outcome, VariationTally};
pub(crate) use operator::parse_time;
pub use schema::check;
