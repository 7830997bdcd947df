//! Who is asking, and what a user is held to, with the real binary and real sockets.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod addresses;
mod answers;
mod flips;
#[path = "../support/process.rs"]
mod process;
mod signing;
mod sticky;
mod tokens;
mod upstream;
mod world;
