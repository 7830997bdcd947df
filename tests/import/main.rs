//! Definitions of other systems, through the importer and the evaluation.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod draws;
mod flagd;
mod growthbook;
mod support;
mod unleash;
