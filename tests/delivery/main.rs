//! Deployments: the machine by scripts and properties, and the real binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod documents;
mod properties;
mod scripts;
mod world;
