//! The live feed over real sockets: order, bounds, and what is said at the end.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bounds;
mod deployments;
mod events;
mod expiry;
mod harness;
mod measured;
mod segments;
mod socket;
