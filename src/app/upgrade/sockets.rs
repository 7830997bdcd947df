//! The listening sockets of this process: bound here, or taken over from the process before.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

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

    /// The socket that listens on an address: that of the process before if it had one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(crate) fn listen(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
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
    let listener = TcpListener::bind(address)?;
    // Listening once more only changes the backlog.
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
