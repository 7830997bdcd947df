//! TLS, HTTP/2 and gRPC, on both sides of the gateway: the real binary, real sockets, real clients.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod abuse;
mod certificates;
mod clients;
mod forged;
mod grpc;
mod heads;
mod hosts;
mod http2;
mod listeners;
mod paths;
#[path = "../support/process.rs"]
mod process;
mod servers;
mod slow;
mod taken;
mod tools;
#[path = "../support/upstream.rs"]
mod upstream;
mod upstreams;
