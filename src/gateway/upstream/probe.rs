//! One health check of one endpoint.

use std::{io, sync::LazyLock};

use pingora::{
    Error, ErrorType, OkOrErr as _, Result,
    connectors::{
        TransportConnector,
        http::v2::{H2HandshakeSettings, handshake},
    },
    http::RequestHeader,
    protocols::Stream,
    upstreams::peer::{ALPN, HttpPeer, Peer as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::speech::as_http2;
use crate::config::HealthCheck;

/// Bytes of a status line.
const STATUS_LINE: usize = "HTTP/1.1 200".len();

/// Who checks calls itself so.
const USER_AGENT: &str = "flaggate-health";

/// Connects for checks of upstreams that encrypt or speak HTTP/2. None of its connections is kept.
static CONNECTOR: LazyLock<TransportConnector> = LazyLock::new(|| TransportConnector::new(None));

/// Connects, and asks for the path if there is one, as requests do: the answer must be 2xx.
pub(super) async fn probe(check: &HealthCheck, host: &str, peer: &HttpPeer) -> io::Result<()> {
    let probe = async {
        let address = peer.address().as_inet().ok_or(io::ErrorKind::AddrNotAvailable)?;
        match &check.path {
            Some(path) if is_plain(peer) => get(TcpStream::connect(address).await?, host, path).await,
            Some(path) => ask(peer, host, path).await,
            None => TcpStream::connect(address).await.map(drop),
        }
    };
    tokio::time::timeout(check.timeout, probe).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn is_plain(peer: &HttpPeer) -> bool {
    !peer.is_tls() && matches!(peer.options.alpn, ALPN::H1)
}

async fn ask(peer: &HttpPeer, host: &str, path: &str) -> io::Result<()> {
    let stream = CONNECTOR.new_stream(peer).await.map_err(io::Error::other)?;
    if !matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) && peer.is_tls() {
        return get(stream, host, path).await;
    }
    match status(stream, peer.is_tls(), host, path).await.map_err(io::Error::other)? {
        200..=299 => Ok(()),
        status => Err(io::Error::other(format!("answered HTTP/2 {status}"))),
    }
}

/// The status of an answer by HTTP/2.
async fn status(stream: Stream, is_tls: bool, host: &str, path: &str) -> Result<u16> {
    let mut settings = H2HandshakeSettings::new();
    settings.max_streams = 1;
    let stream = handshake(stream, settings).await?.spawn_stream().await?;
    let mut stream = stream.or_err(ErrorType::H2Error, "no stream")?;
    let mut request = RequestHeader::build("GET", path.as_bytes(), None)?;
    request.insert_header("Host", host)?;
    request.insert_header("User-Agent", USER_AGENT)?;
    as_http2(&mut request, is_tls)?;
    stream.write_request_header(Box::new(request), true)?;
    stream.read_response_header().await?;
    let answer = stream.response_header().ok_or_else(|| Error::new_up(ErrorType::InvalidHTTPHeader))?;
    Ok(answer.status.as_u16())
}

async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, path: &str) -> io::Result<()> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut line = [0; STATUS_LINE];
    stream.read_exact(&mut line).await?;
    match &line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'2', tens, ones]
            if tens.is_ascii_digit() && ones.is_ascii_digit() =>
        {
            Ok(())
        }
        _ => Err(io::Error::other(format!("answered {}", line.escape_ascii()))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tokio::net::TcpListener;

    /// Whether an endpoint that answers so (nothing: it stays silent) counts as healthy.
    async fn healthy(answer: &'static str, path: Option<&str>) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut request = Vec::new();
            // The other side may close with unread data.
            stream.read_to_end(&mut request).await.ok();
            String::from_utf8(request).unwrap()
        });
        let check = HealthCheck {
            path: path.map(str::to_owned),
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(200),
            healthy: 1,
            unhealthy: 1,
        };
        let peer = HttpPeer::new(address, false, String::new());
        let outcome = probe(&check, "upstream.example:80", &peer).await;
        let request = server.await.unwrap();
        if let Some(path) = path {
            assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\nHost: upstream.example:80\r\n")), "{request}");
        }
        outcome.is_ok()
    }

    #[tokio::test]
    async fn an_answer_of_2xx_is_healthy_and_nothing_else() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.0 204 \r\n\r\n", true),
            ("HTTP/1.1 302 Found\r\n\r\n", false),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            ("HTTP/1.1 2x0 OK\r\n\r\n", false),
            ("SSH-2.0-OpenSSH_9.6\r\n", false),
            ("", false),
        ] {
            assert_eq!(healthy(answer, Some("/healthz")).await, expected, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_enough_without_a_path() {
        assert!(healthy("", None).await);
    }
}
