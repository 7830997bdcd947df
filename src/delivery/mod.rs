//! Progressive delivery without its shells: what a deployment is, what its next step is, and what is decided from what was
//! counted.

pub mod breaker;
pub mod deployment;
pub mod judge;
pub mod kill;
pub mod plan;
