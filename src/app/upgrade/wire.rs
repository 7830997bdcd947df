//! What two processes say to each other over a socket: listening sockets with their addresses, then words, a line each.

use std::{
    collections::HashMap,
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// More listeners are not handed over.
const MOST_LISTENERS: usize = 64;

/// The longest line that is read.
const LONGEST: usize = 8 << 10;

/// Listening sockets by their address.
pub(super) type Listeners = HashMap<SocketAddr, TcpListener>;

/// What the new process says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It needs the store that the old process holds alone.
    Store,
    /// It serves.
    Ready,
}

impl Said {
    pub(super) const fn line(self) -> &'static str {
        match self {
            Self::Store => "store\n",
            Self::Ready => "ready\n",
        }
    }

    pub(super) fn of(line: &str) -> Option<Self> {
        [Self::Store, Self::Ready].into_iter().find(|said| said.line() == line)
    }
}

/// What the old process answers when its store is free.
pub(super) const FREE: &str = "free\n";

/// Sends listening sockets, which stay open here too.
pub(super) fn send(stream: &UnixStream, listeners: &[(SocketAddr, TcpListener)]) -> io::Result<()> {
    if listeners.len() > MOST_LISTENERS {
        return Err(io::Error::other(format!("more than {MOST_LISTENERS} listeners cannot be handed over")));
    }
    let names: Vec<String> = listeners.iter().map(|(address, _)| address.to_string()).collect();
    let line = names.join(" ") + "\n";
    let sockets: Vec<_> = listeners.iter().map(|(_, listener)| listener.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_LISTENERS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("the listening sockets do not fit into a message"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(line.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
    // The sockets went with the first bytes.
    (&*stream).write_all(&line.as_bytes()[sent..])
}

/// Receives what [`send`] sent.
pub(super) fn receive(stream: &UnixStream) -> io::Result<Listeners> {
    let mut buffer = [0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_LISTENERS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(stream, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    let mut line = buffer[..got].to_vec();
    if line.last() != Some(&b'\n') {
        line.extend(read_line(stream)?.into_bytes());
    }
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what} came from the old process"));
    let names = String::from_utf8(line).map_err(|_| wrong("no text"))?;
    let addresses: Result<Vec<SocketAddr>, _> = names.split_whitespace().map(str::parse).collect();
    let addresses = addresses.map_err(|_| wrong("no addresses"))?;
    if addresses.len() != sockets.len() {
        return Err(wrong(&format!("{} addresses and {} sockets", addresses.len(), sockets.len())));
    }
    Ok(addresses.into_iter().zip(sockets.into_iter().map(TcpListener::from)).collect())
}

/// Reads up to the end of a line, with it; an empty text is the end.
pub(super) fn read_line(mut stream: &UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    // Byte by byte, so that nothing of the next line is taken; they are few.
    while line.last() != Some(&b'\n') && line.len() < LONGEST && stream.read(&mut byte)? == 1 {
        line.push(byte[0]);
    }
    String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_arrive_with_their_addresses_and_still_listen() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listeners: Vec<_> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .map(|listener| (listener.local_addr().unwrap(), listener))
            .collect();
        send(&ours, &listeners).unwrap();
        (&ours).write_all(FREE.as_bytes()).unwrap();
        let received = receive(&theirs).unwrap();
        let addresses: Vec<SocketAddr> = listeners.iter().map(|(address, _)| *address).collect();
        drop(listeners);
        for address in addresses {
            let client = std::net::TcpStream::connect(address).unwrap();
            let (_, peer) = received[&address].accept().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }
        assert_eq!(read_line(&theirs).unwrap(), FREE);
        drop(ours);
        assert_eq!(read_line(&theirs).unwrap(), "");
    }

    #[test]
    fn what_is_said_is_understood() {
        for said in [Said::Store, Said::Ready] {
            assert_eq!(Said::of(said.line()), Some(said));
        }
        assert_eq!(Said::of("ready"), None);
    }
}
