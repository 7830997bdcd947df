//! Connections to upstreams for requests that ask to upgrade (WebSocket).
//!
//! pingora 0.9.1 ends a tunnel at once when it reads the 101 before it has handled the end of the request's own, empty
//! body (cloudflare/pingora#946): it takes that end for the end of the tunnel. A fast upstream met this in 1 of 200
//! upgrades. So the upstream's bytes are held back here until that end has been handled, which pingora shows by
//! flushing a second time: first after the request's header, then after its body. Once pingora is mended, this file can
//! go.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use pingora::{
    Error, ErrorType, OrErr as _, Result,
    connectors::L4Connect,
    protocols::l4::{
        socket::SocketAddr,
        stream::Stream,
        virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Flushes after which the end of a request without a body has been handled.
const FLUSHES: usize = 2;

/// Connects for one request that asks to upgrade and has no body.
#[derive(Debug)]
pub(super) struct ConnectForUpgrade {
    /// How long connecting may take.
    pub(super) timeout: Duration,
}

/// A connection that gives nothing to read before the request was sent as a whole.
#[derive(Debug)]
struct HeldBack<S> {
    inner: S,
    flushes: usize,
    reader: Option<Waker>,
}

#[async_trait]
impl L4Connect for ConnectForUpgrade {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let address = address.as_inet().ok_or_else(|| Error::new_in(ErrorType::InternalError))?;
        let connected = tokio::time::timeout(self.timeout, TcpStream::connect(address)).await;
        let stream = connected.or_err(ErrorType::ConnectTimedout, "connecting to upgrade")?;
        let stream = stream.map_err(|error| {
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            let kind = if refused { ErrorType::ConnectRefused } else { ErrorType::ConnectError };
            Error::because(kind, "connecting to upgrade", error)
        })?;
        Ok(VirtualSocketStream::new(Box::new(HeldBack::new(stream))).into())
    }
}

impl<S> HeldBack<S> {
    fn new(inner: S) -> Self {
        Self { inner, flushes: 0, reader: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeldBack<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flushes < FLUSHES {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeldBack<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        if flushed.is_ready() && self.flushes < FLUSHES {
            self.flushes += 1;
            if self.flushes == FLUSHES
                && let Some(reader) = self.reader.take()
            {
                reader.wake();
            }
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl VirtualSocket for HeldBack<TcpStream> {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        if matches!(option, VirtualSockOpt::NoDelay) { self.inner.set_nodelay(true) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn nothing_is_read_before_the_request_was_sent_as_a_whole() {
        let (ours, mut upstream) = tokio::io::duplex(64);
        upstream.write_all(b"101").await.unwrap();
        let (mut reading, mut writing) = tokio::io::split(HeldBack::new(ours));
        let read = tokio::spawn(async move {
            let mut bytes = [0; 3];
            reading.read_exact(&mut bytes).await.map(|_| bytes)
        });
        writing.write_all(b"GET").await.unwrap();
        writing.flush().await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!read.is_finished(), "the header alone is not the whole request");
        writing.flush().await.unwrap();
        assert_eq!(&read.await.unwrap().unwrap(), b"101");
    }
}
