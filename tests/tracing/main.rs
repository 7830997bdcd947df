//! Traces and the access log: the real binary between real sockets, and a collector that decodes what it gets with
//! OpenTelemetry's own crate.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access_log;
mod collector;
mod exporting;
mod harness;
mod propagation;
mod spans;
