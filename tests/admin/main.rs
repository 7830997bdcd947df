//! The admin API over real sockets.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod analytics;
mod apply;
mod conditional;
mod dashboard;
mod deployments;
mod flags;
mod guard;
mod harness;
mod history;
mod kill_switches;
mod listing;
mod models;
mod ofrep;
mod population;
mod profiles;
mod races;
mod segments;
mod segments_cli;
mod stored;
mod track;
mod traffic;
mod transfer;
mod wire;
