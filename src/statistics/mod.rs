//! The statistics of experiments: what may be looked at as often as one likes. Pure; no dependency but arithmetic.
//!
//! People look at an experiment every day and stop when they like what they see. A t-test at each look finds an effect where
//! there is none far more often than it says. The tests here hold at every look together: over a whole experiment, however
//! often it is looked at, an effect that is not there is told with a probability of `alpha` at most.

mod compare;
mod moments;
mod ratio;
mod robust;

#[cfg(test)]
mod simulation;

pub use compare::{Compared, Interval, Test, compare};
pub use moments::Moments;
pub(crate) use ratio::ln_gamma;
pub use ratio::sample_ratio;
pub use robust::{median, robust_score};
