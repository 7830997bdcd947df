//! Progressive delivery, as far as it is thought: what a deployment is, what its next step is, and what a judge says. Pure.

pub mod deployment;
pub mod judge;
pub mod plan;
