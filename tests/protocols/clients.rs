//! Clients of HTTP/1.1 and HTTP/2, and an upstream that says what it was sent.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName, version};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{certificates::Pair, process::PATIENCE};

/// How a client encrypts.
pub(crate) struct Tls<'t> {
    pub(crate) roots: RootCertStore,
    pub(crate) name: &'t str,
    pub(crate) protocols: &'t [&'t str],
    pub(crate) pair: Option<&'t Pair>,
    pub(crate) is_old: bool,
}

impl Tls<'_> {
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let versions = if self.is_old { [&version::TLS12] } else { [&version::TLS13] };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&versions).unwrap().with_root_certificates(self.roots.clone());
        let mut config = match self.pair {
            Some(pair) => builder.with_client_auth_cert(vec![pair.cert.clone()], pair.secret()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(self.name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
    }
}

/// What a client of HTTP/2 got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// A connection of HTTP/2.
pub(crate) struct Http2 {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        Self { send, connection: tokio::spawn(connection) }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn ask(&self, request: Request<()>) -> Result<Answer, h2::Error> {
        self.send(request, None).await
    }

    /// Sends a request, with a body if there is one, and reads all of its answer.
    pub(crate) async fn send(&self, request: Request<()>, body: Option<&'static str>) -> Result<Answer, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (answer, mut stream) = send.send_request(request, body.is_none())?;
        if let Some(body) = body {
            stream.send_data(Bytes::from(body), true)?;
        }
        let reading = async {
            let (head, mut body) = answer.await?.into_parts();
            let mut bytes = Vec::new();
            while let Some(piece) = body.data().await {
                let piece = piece?;
                body.flow_control().release_capacity(piece.len())?;
                bytes.extend(piece);
            }
            let body = String::from_utf8_lossy(&bytes).into_owned();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        timeout(PATIENCE, reading).await.expect("an answer comes in time")
    }
}

/// A request of HTTP/2.
pub(crate) fn get(path: &str) -> http::request::Builder {
    Request::get(format!("http://shop.example{path}"))
}

/// All that comes on a connection after this was sent.
pub(crate) async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    // A reset is an end as well.
    timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection ends in time").ok();
    String::from_utf8_lossy(&all).into_owned()
}

/// An upstream that answers with the head of the request, in lower case, and with what comes in chunks, to the end of its
/// trailers.
pub(crate) async fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(reflect(stream));
        }
    });
    address
}

async fn reflect(mut stream: TcpStream) {
    let mut read = Vec::new();
    while stream.read_buf(&mut read).await.is_ok_and(|bytes| bytes > 0) {
        while let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = read.drain(..end + 4).collect();
            let mut head = String::from_utf8_lossy(&head[..end + 2]).to_ascii_lowercase();
            if head.contains("transfer-encoding: chunked") {
                head += &chunked(&mut stream, &mut read).await;
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// A body in chunks as it came, to the end of its trailers; none of the chunks may end like that.
async fn chunked(stream: &mut TcpStream, read: &mut Vec<u8>) -> String {
    loop {
        let last = if read.starts_with(b"0\r\n") {
            Some(0)
        } else {
            read.windows(5).position(|window| window == b"\r\n0\r\n")
        };
        let end =
            last.and_then(|last| Some(last + read[last..].windows(4).position(|window| window == b"\r\n\r\n")? + 4));
        if let Some(end) = end {
            let body: Vec<u8> = read.drain(..end).collect();
            return String::from_utf8_lossy(&body).into_owned();
        }
        assert!(stream.read_buf(read).await.unwrap() > 0, "a body in chunks has an end");
    }
}

/// The values of a header in a head that an upstream answered with.
pub(crate) fn told<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}
