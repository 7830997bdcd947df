//! Progressive delivery without its shells: what is decided from what was counted.

pub mod breaker;
pub mod judge;
