//! One health check of one endpoint.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::config::HealthCheck;

/// Bytes of a status line.
const STATUS_LINE: usize = "HTTP/1.1 200".len();

/// Connects, and asks for the path if there is one: the answer must be 2xx.
pub(super) async fn probe(check: &HealthCheck, host: &str, address: SocketAddr) -> io::Result<()> {
    let probe = async {
        let stream = TcpStream::connect(address).await?;
        match &check.path {
            Some(path) => get(stream, host, path).await,
            None => Ok(()),
        }
    };
    tokio::time::timeout(check.timeout, probe).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn get(mut stream: TcpStream, host: &str, path: &str) -> io::Result<()> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: flaggate-health\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
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
        let outcome = probe(&check, "upstream.example:80", address).await;
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
