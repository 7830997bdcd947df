//! Addresses for others.

use std::net::SocketAddr;

/// An address where nobody listens.
pub(crate) fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
