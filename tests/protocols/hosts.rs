//! Row 16 of the promises: exactly one host, which everybody reads alike.

use http::{Request, Version};
use tokio::net::TcpStream;

use crate::{
    clients::{Http2, exchange, told},
    http2::gateway,
};

/// Hosts that are taken, and those that are not.
const TAKEN: [&str; 7] =
    ["a.example", "A.Example:8080", "a_b.example", "127.0.0.1", "127.0.0.1:80", "[::1]", "[2001:db8::1]:65535"];
const REFUSED: [&str; 27] = [
    "",
    ".",
    "a.example.",
    ".a.example",
    "a..example",
    "a:",
    "a:0",
    "a:65536",
    "a:99999",
    "a:x",
    "a:-1",
    "a:1:2",
    ":80",
    "a b",
    "u@a",
    "u:p@a",
    "a/b",
    "a?b",
    "a#b",
    "a%2eb",
    "a,b",
    "a;b",
    "::1",
    "[::1",
    "[::1]x",
    "[127.0.0.1]",
    "a, b",
];

#[tokio::test]
async fn a_host_is_taken_or_refused_alike() {
    let gateway = gateway("").await;
    let one = async |head: String| {
        let stream = TcpStream::connect(gateway.web).await.unwrap();
        exchange(stream, format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await
    };
    for (host, status) in TAKEN.map(|host| (host, 200)).into_iter().chain(REFUSED.map(|host| (host, 400))) {
        let mut heads = vec![format!("GET / HTTP/1.1\r\nHost: {host}")];
        // In an absolute form that is a URL at all.
        if !host.is_empty() && !host.contains([' ', '/', '?', '#']) {
            heads.push(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}"));
        }
        for head in heads {
            let answer = one(head.clone()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {answer}");
            if status == 200 {
                assert_eq!(told(&answer, "host"), [host.to_lowercase()], "{head}: {answer}");
            }
        }
        let Ok(uri) = format!("http://{host}/").parse::<http::Uri>() else { continue };
        if uri.authority().is_none_or(|authority| authority.as_str() != host) {
            continue;
        }
        let request = Request::get(uri).version(Version::HTTP_2).body(()).unwrap();
        match Http2::connect(gateway.web).await.ask(request).await {
            Ok(answer) => assert_eq!(answer.status, status, "{host} on HTTP/2"),
            Err(error) => assert!(status == 400 && error.is_reset(), "{host} on HTTP/2: {error}"),
        }
    }
    for head in [
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        "GET http://a/ HTTP/1.1\r\nHost: b",
        "GET http://a/ HTTP/1.1\r\nHost: a:80",
        "GET http://u@a/ HTTP/1.1\r\nHost: a",
        "GET ftp://a/ HTTP/1.1\r\nHost: a",
        "GET a HTTP/1.1\r\nHost: a",
        "GET * HTTP/1.1\r\nHost: a",
    ] {
        let answer = one(head.to_owned()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
    }
}
