//! What the real binary tells of its traffic: metrics that are exact and bounded, dashboards and alerts that find them, and
//! logs that nobody forges or floods.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/prometheus.rs"]
mod prometheus;

#[path = "../redis/server.rs"]
#[expect(dead_code, reason = "sentinels and clusters are tested elsewhere")]
mod server;

mod exact;
mod labels;
mod logs;
mod shown;
mod world;
