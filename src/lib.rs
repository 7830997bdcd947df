//! flaggate: a reverse-proxy gateway that routes each request by feature flag.
//!
//! The pure core (`model`, `statistics`, `predict`, `train`, `eval`, `snapshot`, `import`, `delivery`) knows no runtime, socket, file or clock. The shells
//! around it (`store`, `outbound`, `profiles`, `tracking`, `happenings`, `tripping`, `recent`, `analytics`, `gateway`, `conductor`, `admin`, `telemetry`, `demo`)
//! do the input and output, and `app` wires them together. Arrows run downwards only:
//!
//! ```text
//! model ← predict ← eval ← snapshot ← store ← {gateway, conductor, admin} ← app ← cli
//! ```
//!
//! `gateway` sees the snapshot cell only: never the store, never `admin`. `admin` and `conductor` write through the store only.
//! `import` turns definitions of other systems into documents, for `admin`.
//! `telemetry` is used by the shells and uses `model` alone. `tests/tidy.rs` checks all of this.

pub mod admin;
pub mod analytics;
pub mod app;
pub mod cli;
pub mod clock;
pub mod conductor;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod drain;
pub mod eval;
pub mod gateway;
pub mod happenings;
pub mod import;
pub mod model;
pub mod outbound;
pub mod predict;
pub mod profiles;
pub mod recent;
pub mod snapshot;
pub mod statistics;
pub mod store;
pub mod telemetry;
pub mod tracking;
pub mod train;
pub mod tripping;
