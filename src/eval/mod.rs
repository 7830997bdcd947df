//! Evaluation of compiled flags. Pure.

mod evaluation;

pub use evaluation::{Evaluation, FlagIndex, Outcome, VariationTally};
