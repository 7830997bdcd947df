//! Deployments: the machine by scripts and properties, and the real binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../redis/server.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod server;
#[path = "../support/upstream.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod upstream;

mod clocks;
mod documents;
mod end_to_end;
mod gateway;
mod news;
mod properties;
mod scripts;
mod takeover;
mod world;
