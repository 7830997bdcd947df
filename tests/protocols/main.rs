//! TLS, HTTP/2 and gRPC, on both sides of the gateway: the real binary, real sockets, real clients.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod abuse;
mod certificates;
mod clients;
mod http2;
mod listeners;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/upstream.rs"]
mod upstream;
