//! How long the gateway waits for a client, and a request for its upstream.
//!
//! pingora restarts its time-outs with every byte and has none for the whole of a request's header, nor for the time
//! until a response's header. Both are kept here, in the client's connection: reading it fails when the time is over.
//! pingora reads the client's connection all the while that it waits for the upstream, so the failure ends that wait
//! too, and the gateway can still answer.
//!
//! A connection of HTTP/2 carries many requests at once. There, each header block, and each frame but those of bodies, has
//! the time of a header; a connection without a request is closed by pingora, after [`IDLE`].

mod ahead;
mod deadline;
mod frames;

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use pingora::{
    apps::ServerApp,
    listeners::tls::Acceptor,
    protocols::{
        ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
        TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
    },
    server::ShutdownWatch,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::Sleep,
};

use self::{
    ahead::{Ahead, END_OF_HEAD, MAX_HEAD_BYTES},
    deadline::{BETWEEN, HEAD, HEADER, KIND_BITS},
    frames::{FORBIDDEN, Frames, PREFACE},
};
use super::{
    allowance::Flow,
    crowd::{Crowd, Place},
};
use crate::{
    clock,
    drain::{Drain, Lingering},
};

pub(super) use self::deadline::{Deadline, IDLE};

/// An HTTP application whose clients' connections have deadlines, and are encrypted if it has certificates.
pub(super) struct Patient<A> {
    pub(super) app: Arc<A>,
    pub(super) tls: Option<Acceptor>,
    pub(super) drain: Drain,
    pub(super) crowd: Arc<Crowd>,
    /// Bytes a second that a client must send of a body and take of an answer.
    pub(super) rate: u64,
}

/// A client's connection with a deadline for reading, and a rate at which bytes must move.
pub(super) struct PatientStream {
    inner: Stream,
    deadline: Arc<Deadline>,
    /// Wakes the reader at the deadline or before: setting it anew with each deadline would cost more than that.
    alarm: Pin<Box<Sleep>>,
    /// What was read ahead, and is read again.
    ahead: Ahead,
    /// Nothing more is read from the client.
    is_over: bool,
    /// The bytes so far of the head that is being read, on HTTP/1.1.
    head: usize,
    http2: Option<Http2>,
    drain: Drain,
    flow: Flow,
    _place: Option<Place>,
}

/// What is known of a connection of HTTP/2.
struct Http2 {
    frames: Frames,
    /// What began last that has to be whole by the deadline.
    begun: u32,
    _lingering: Lingering,
}

impl PatientStream {
    fn new(inner: Stream, drain: &Drain, rate: u64, place: Option<Place>) -> Self {
        let deadline = Arc::new(Deadline::new());
        let alarm = Box::pin(tokio::time::sleep_until(deadline.start.into()));
        let (ahead, drain, flow) = (Ahead::default(), drain.clone(), Flow::new(rate));
        Self { inner, deadline, alarm, ahead, is_over: false, head: 0, http2: None, drain, flow, _place: place }
    }

    /// What comes from here on is HTTP/2.
    fn begin_http2(&mut self) {
        let lingering = self.drain.linger();
        self.http2 = Some(Http2 { frames: Frames::new(), begun: 0, _lingering: lingering });
    }

    /// Looks at what was read behind the first `known` bytes of a buffer.
    fn look_at(&mut self, buffer: &mut ReadBuf<'_>, known: usize) {
        let Some(Http2 { frames, begun, .. }) = &mut self.http2 else {
            if buffer.filled().len() > known {
                self.look_at_head(buffer.filled().len() - known);
            }
            return;
        };
        if let Some(heard) = frames.see(&buffer.filled()[known..], || self.deadline.now()) {
            buffer.set_filled(known + heard);
            self.ahead = Ahead::of(FORBIDDEN);
            self.is_over = true;
        }
        if !frames.is_pending() {
            self.deadline.header_complete();
        } else if *begun != frames.begun() {
            *begun = frames.begun();
            self.deadline.set(HEAD, HEADER);
        }
    }

    /// Counts bytes of HTTP/1.1, if they are of a head.
    fn look_at_head(&mut self, bytes: usize) {
        match self.deadline.kind() {
            BETWEEN => self.head = bytes,
            HEAD => self.head += bytes,
            _ => return,
        }
        self.deadline.byte_read();
        if self.head > MAX_HEAD_BYTES {
            self.ahead = Ahead::of(END_OF_HEAD);
            self.is_over = true;
            self.deadline.head_is_too_long();
        }
    }

    /// Ready with an error when the deadline is over; otherwise the reader is woken then.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let at = self.deadline.at.load(Ordering::Relaxed);
        let due = (at != 0).then(|| self.deadline.start + Duration::from_millis(at >> KIND_BITS));
        let awaits_body = self.deadline.awaits_body();
        let body_due = if awaits_body { self.flow.reading.wait(clock::monotonic) } else { None };
        let Some(first) = due.into_iter().chain(body_due).min() else { return Poll::Pending };
        let due = tokio::time::Instant::from(first);
        if self.alarm.deadline() > due {
            self.alarm.as_mut().reset(due);
        }
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if self.alarm.deadline() >= due {
                if body_due == Some(first) {
                    self.deadline.give_body_up();
                }
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
        if self.deadline.is_ended(context) {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionAborted)));
        }
        let filled = buffer.filled().len();
        if self.ahead.read_into(buffer) {
            if !self.is_over {
                self.look_at(buffer, filled);
            }
            return Poll::Ready(Ok(()));
        }
        if self.is_over {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                self.flow.reading.moved(buffer.filled().len() - filled, clock::monotonic);
                self.look_at(buffer, filled);
                Poll::Ready(outcome)
            }
            Poll::Pending => self.poll_deadline(context).map(Err),
        }
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        let is_tunnel = self.deadline.is_tunnel();
        self.flow.poll_sent(context, outcome, |sent| *sent, is_tunnel)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        let is_tunnel = self.deadline.is_tunnel();
        self.flow.poll_sent(context, outcome, |()| 0, is_tunnel)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        let is_tunnel = self.deadline.is_tunnel();
        self.flow.poll_sent(context, outcome, |sent| *sent, is_tunnel)
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
    /// Reads no further than to the first byte that is not one of HTTP/2's beginning: a request may be shorter than that.
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let wanted = buffer.len().min(PREFACE.len());
        let mut there = 0;
        while there < wanted && PREFACE.starts_with(&buffer[..there]) {
            match self.read(&mut buffer[there..wanted]).await? {
                0 => break,
                read => there += read,
            }
        }
        self.ahead = Ahead::of(&buffer[..there]);
        if buffer[..there] == PREFACE[..] {
            self.begin_http2();
        }
        Ok(true)
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

impl<A: ServerApp + Send + Sync + 'static> Patient<A> {
    /// The connection as the application reads it; none: the client cannot, or does not in time, agree how to encrypt it.
    async fn opened(&self, stream: Stream) -> Option<PatientStream> {
        let digest = stream.get_socket_digest();
        let peer = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet());
        // A connection that is one too many ends here.
        let place = self.crowd.enter(peer.map(|peer| peer.ip().to_canonical()))?;
        // Of the two streams of an encrypted connection the outer one has the rate.
        let rate = if self.tls.is_some() { 0 } else { self.rate };
        let stream = PatientStream::new(stream, &self.drain, rate, Some(place));
        let Some(acceptor) = &self.tls else { return Some(stream) };
        // The deadline is that of the stream inside, until there is one outside.
        let deadline = Arc::clone(&stream.deadline);
        match acceptor.tls_handshake(stream).await {
            Ok(encrypted) => {
                deadline.header_complete();
                let is_http2 = matches!(encrypted.selected_alpn_proto(), Some(ALPN::H2));
                let mut stream = PatientStream::new(Box::new(encrypted), &self.drain, self.rate, None);
                if is_http2 {
                    stream.begin_http2();
                }
                Some(stream)
            }
            Err(error) => {
                tracing::debug!(%error, "failed to agree with a client how to encrypt");
                None
            }
        }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Patient<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, _shutdown: &ShutdownWatch) -> Option<Stream> {
        let _connected = self.drain.connected();
        let stream = self.opened(stream).await?;
        // Clients of HTTP/2 are told to go elsewhere at once, and not only when nobody listens any more.
        let mut draining = self.drain.draining();
        if *draining.borrow() {
            draining.mark_changed();
        }
        self.app.process_new(Box::new(stream), &draining).await
    }

    // The application's own `cleanup` would close connections on which a request is just being read. They are closed with
    // their next answer instead, or with the process.
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn drain() -> Drain {
        Drain::new(prometheus::IntGauge::new("g", "g").unwrap())
    }

    /// A connection and its client's end.
    fn connection() -> (PatientStream, tokio::io::DuplexStream) {
        let (client, server) = tokio::io::duplex(64);
        (PatientStream::new(Box::new(server), &drain(), 100, None), client)
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

    /// Whether HTTP/2 is seen in what a client sends first, all of which is read once more.
    async fn seen(sent: &[u8]) -> bool {
        let (mut stream, mut client) = connection();
        client.write_all(sent).await.unwrap();
        drop(client);
        let mut peeked = [0; PREFACE.len()];
        assert!(stream.try_peek(&mut peeked).await.unwrap());
        assert_eq!(peeked == PREFACE[..], stream.http2.is_some());
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, sent);
        stream.http2.is_some()
    }

    #[tokio::test]
    async fn http2_is_told_apart_by_as_little_as_can_be() {
        assert!(seen(PREFACE).await);
        assert!(seen(&[&PREFACE[..], b"\0\0\0\x04\0\0\0\0\0"].concat()).await);
        for other in [&b""[..], b"G", b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n", b"PUT / HTTP/1.0\r\n\r\n"] {
            assert!(!seen(other).await, "{}", other.escape_ascii());
        }
        let (mut stream, mut client) = connection();
        client.write_all(b"PO").await.unwrap();
        assert!(stream.try_peek(&mut [0; PREFACE.len()]).await.unwrap(), "the client need not send more");
    }

    #[tokio::test]
    async fn a_header_block_of_http2_has_its_time_and_a_body_all_it_wants() {
        let (mut stream, mut client) = connection();
        stream.begin_http2();
        client.write_all(PREFACE).await.unwrap();
        client.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
        stream.read_exact(&mut [0; 33]).await.unwrap();
        assert_eq!(stream.deadline.kind(), 0);
        client.write_all(b"\0\0\x01\x01\0\0\0\0\x01x").await.unwrap();
        stream.read_exact(&mut [0; 10]).await.unwrap();
        assert_eq!(stream.deadline.kind(), HEAD);
        let at = stream.deadline.at.load(Ordering::Relaxed);
        client.write_all(b"\0\0\x01\x09\0\0\0\0\x01x").await.unwrap();
        stream.read_exact(&mut [0; 10]).await.unwrap();
        assert_eq!(stream.deadline.at.load(Ordering::Relaxed), at, "a further piece gives no more time");
        client.write_all(b"\0\0\x01\x09\x04\0\0\0\x01x\0\0\x09\0\0\0\0\0\x01x").await.unwrap();
        stream.read_exact(&mut [0; 20]).await.unwrap();
        assert_eq!(stream.deadline.kind(), 0, "a body may take its time");
    }
}
