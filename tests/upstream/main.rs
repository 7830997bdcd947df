//! The gateway as clients and upstreams see it: a real server, real sockets.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod arms;
mod balancing;
mod clients;
mod faults;
mod harness;
mod lifecycle;
mod limits;
mod mirror;
mod outliers;
mod profiles;
mod resets;
mod retries;
mod routing;
mod slow;
