//! How long the gateway waits for a client, and a request for its upstream.
//!
//! pingora restarts its time-outs with every byte and has none for the whole of a request's header, nor for the time
//! until a response's header. Both are kept here, in the client's connection: reading it fails when the time is over.
//! pingora reads the client's connection all the while that it waits for the upstream, so the failure ends that wait
//! too, and the gateway can still answer.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use pingora::{
    apps::ServerApp,
    protocols::{
        ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
        TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
    },
    server::ShutdownWatch,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use crate::clock;

/// A request's header must be complete this long after its first byte.
pub(super) const HEADER: Duration = Duration::from_secs(10);

/// A connection without a request is kept this long.
pub(super) const IDLE: Duration = Duration::from_secs(75);

/// An HTTP application whose clients' connections have deadlines.
pub(super) struct Patient<A>(pub(super) Arc<A>);

/// A client's connection with a deadline for reading.
pub(super) struct PatientStream {
    inner: Stream,
    deadline: Arc<Deadline>,
    /// Wakes the reader at the deadline or before: setting it anew with each deadline would cost more than that.
    alarm: Pin<Box<Sleep>>,
}

/// The time after which reading fails, and what is being waited for.
#[derive(Debug)]
pub(super) struct Deadline {
    start: Instant,
    /// Milliseconds after `start`, with what it is for in the lowest bits; 0: there is none.
    at: AtomicU64,
}

/// What a deadline is for is kept in the lowest bits of its number.
const KIND_BITS: u32 = 2;
/// For the first byte of a request.
const BETWEEN: u64 = 1;
/// For the rest of a request's header.
const HEAD: u64 = 2;
/// For the header of the response.
const REQUEST: u64 = 3;

impl Deadline {
    fn new() -> Self {
        let deadline = Self { start: clock::monotonic(), at: AtomicU64::new(0) };
        deadline.set(BETWEEN, HEADER);
        deadline
    }

    /// The deadline of a client's connection, if it has one.
    pub(super) fn of(stream: Option<&Stream>) -> Option<&Self> {
        stream?.as_any().downcast_ref::<PatientStream>().map(|stream| stream.deadline.as_ref())
    }

    /// The request's header is there: its body may take its time.
    pub(super) fn header_complete(&self) {
        self.at.store(0, Ordering::Relaxed);
    }

    /// The response's header must be there within `time` from now.
    pub(super) fn await_response(&self, time: Duration) {
        self.set(REQUEST, time);
    }

    /// The response's header is there.
    pub(super) fn response_started(&self) {
        self.at.store(0, Ordering::Relaxed);
    }

    /// The request is over: the next one may come.
    pub(super) fn between_requests(&self) {
        self.set(BETWEEN, IDLE);
    }

    /// Whether the time until the response's header is over.
    pub(super) fn response_is_late(&self) -> bool {
        self.kind() == REQUEST && self.now() >= self.at.load(Ordering::Relaxed) >> KIND_BITS
    }

    fn set(&self, kind: u64, time: Duration) {
        let at = self.now().saturating_add(millis(time)) << KIND_BITS | kind;
        self.at.store(at, Ordering::Relaxed);
    }

    /// Milliseconds since the start.
    fn now(&self) -> u64 {
        millis(clock::monotonic().duration_since(self.start))
    }

    fn kind(&self) -> u64 {
        self.at.load(Ordering::Relaxed) & ((1 << KIND_BITS) - 1)
    }

    /// A byte was read: the first one of a request starts the time for its header.
    fn byte_read(&self) {
        if self.kind() == BETWEEN {
            self.set(HEAD, HEADER);
        }
    }
}

impl PatientStream {
    fn new(inner: Stream) -> Self {
        let deadline = Arc::new(Deadline::new());
        let alarm = Box::pin(tokio::time::sleep_until(deadline.start.into()));
        Self { inner, deadline, alarm }
    }

    /// Ready with an error when the deadline is over; otherwise the reader is woken then.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let at = self.deadline.at.load(Ordering::Relaxed);
        if at == 0 {
            return Poll::Pending;
        }
        let due = tokio::time::Instant::from(self.deadline.start + Duration::from_millis(at >> KIND_BITS));
        if self.alarm.deadline() > due {
            self.alarm.as_mut().reset(due);
        }
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if self.alarm.deadline() >= due {
                return Poll::Ready(io::Error::from(io::ErrorKind::TimedOut));
            }
            self.alarm.as_mut().reset(due);
        }
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                if buffer.filled().len() > filled {
                    self.deadline.byte_read();
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => self.poll_deadline(context).map(Err),
        }
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl fmt::Debug for PatientStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(out)
    }
}

#[async_trait]
impl Shutdown for PatientStream {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for PatientStream {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for PatientStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

#[async_trait]
impl Peek for PatientStream {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buffer).await
    }
}

impl GetTimingDigest for PatientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for PatientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for PatientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Patient<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        self.0.process_new(Box::new(PatientStream::new(stream)), shutdown).await
    }

    async fn cleanup(&self) {
        self.0.cleanup().await;
    }
}

/// Milliseconds, at most some thousands of years.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 50)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A connection and its client's end.
    fn connection() -> (PatientStream, tokio::io::DuplexStream) {
        let (client, server) = tokio::io::duplex(64);
        (PatientStream::new(Box::new(server)), client)
    }

    async fn times_out(stream: &mut PatientStream, time: Duration) {
        let mut buffer = [0; 64];
        let started = tokio::time::Instant::now();
        let error = stream.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let took = started.elapsed();
        assert!(took >= time && took < time + Duration::from_millis(500), "{took:?}");
    }

    #[tokio::test]
    async fn the_response_must_start_in_time() {
        let (mut stream, _client) = connection();
        stream.deadline.header_complete();
        stream.deadline.await_response(Duration::from_millis(50));
        assert!(!stream.deadline.response_is_late());
        times_out(&mut stream, Duration::from_millis(45)).await;
        assert!(stream.deadline.response_is_late());
    }

    #[tokio::test]
    async fn a_deadline_that_was_lifted_does_not_end_the_wait() {
        let (mut stream, mut client) = connection();
        stream.deadline.await_response(Duration::from_millis(20));
        let deadline = Arc::clone(&stream.deadline);
        let reading = tokio::spawn(async move { stream.read_u8().await });
        tokio::task::yield_now().await;
        deadline.response_started();
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(!reading.is_finished());
        client.write_all(b"x").await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), b'x');
    }

    #[tokio::test]
    async fn the_time_of_a_header_runs_from_its_first_byte() {
        let (mut stream, mut client) = connection();
        stream.deadline.between_requests();
        assert_eq!(stream.deadline.kind(), BETWEEN);
        client.write_all(b"G").await.unwrap();
        stream.read_u8().await.unwrap();
        assert_eq!(stream.deadline.kind(), HEAD);
        let at = stream.deadline.at.load(Ordering::Relaxed);
        client.write_all(b"E").await.unwrap();
        stream.read_u8().await.unwrap();
        assert_eq!(stream.deadline.at.load(Ordering::Relaxed), at, "a further byte gives no more time");
        stream.deadline.header_complete();
        assert_eq!(stream.deadline.kind(), 0);
    }
}
