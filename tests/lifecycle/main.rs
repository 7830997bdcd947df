//! Stopping the gateway and putting another in its place, while clients use it: the real binary, real sockets.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod clients;
mod descriptors;
mod terminate;
mod upgrade;
#[path = "../support/upstream.rs"]
mod upstream;
mod world;
