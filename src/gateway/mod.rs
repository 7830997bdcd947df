//! The gateway.

pub mod upstream;
