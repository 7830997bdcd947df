//! The listening sockets of this process: bound here, or taken over from the process before.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt::set_socket_reuseaddr};

use super::wire::Listeners;

/// How many connections may wait to be accepted; the kernel has a bound of its own (`net.core.somaxconn`).
const BACKLOG: i32 = 65_535;

/// Listening sockets, kept to be handed over. They are closed when this is cleared and nobody else has them.
#[derive(Default)]
pub(crate) struct Sockets {
    kept: Vec<(SocketAddr, TcpListener)>,
    /// From the process before, not asked for yet.
    inherited: Listeners,
}

impl Sockets {
    pub(super) fn inherit(inherited: Listeners) -> Self {
        Self { kept: Vec::new(), inherited }
    }

    /// A socket with an address, which does not listen yet ([`listen`]): that of the process before if it had one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(crate) fn bind(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
        let listener = match self.inherited.remove(&address) {
            Some(listener) => listener,
            None => bind(address)?,
        };
        self.kept.push((address, listener.try_clone()?));
        Ok(listener)
    }

    /// Closes what the process before listened on and this one does not.
    pub(crate) fn close_others(&mut self) {
        for address in std::mem::take(&mut self.inherited).into_keys() {
            log::info!("upgrade: nobody listens on {address} any more");
        }
    }

    pub(super) fn all(&self) -> &[(SocketAddr, TcpListener)] {
        &self.kept
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Connections that ended lately do not stand in the way.
    set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}

/// Has a socket listen: from here on clients can connect.
///
/// # Errors
/// Another socket listens on its address.
pub(crate) fn listen(socket: &TcpListener) -> io::Result<()> {
    Ok(rustix::net::listen(socket, BACKLOG)?)
}
