//! Calls outwards, over real sockets and with a real Prometheus.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod events;
mod guard;
mod notices;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/prometheus.rs"]
mod prometheus;
mod questions;
mod server;
#[path = "../support/upstream.rs"]
mod upstream;
