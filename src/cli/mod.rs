//! The command line.

mod vectors;

pub use vectors::{Quirks, Report, run as run_vectors};
