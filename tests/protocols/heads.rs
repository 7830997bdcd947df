//! Row 14 of the promises on HTTP/1.1: a head is bounded while it is read.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    abuse::{is_well, resident},
    clients::{self, exchange},
    http2::gateway,
    process::PATIENCE,
};

/// Heads that go on, by what they are made of.
fn bombs(bytes: usize) -> [(&'static str, String); 6] {
    let line = "x-filler: 0123456789abcdef\r\n";
    [
        ("many lines", format!("GET / HTTP/1.1\r\nHost: a\r\n{}", line.repeat(bytes / line.len()))),
        ("one value", format!("GET / HTTP/1.1\r\nHost: a\r\nx-large: {}", "x".repeat(bytes))),
        ("one name", format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "x".repeat(bytes))),
        ("a target", format!("GET /{}", "x".repeat(bytes))),
        ("a method", "G".repeat(bytes)),
        ("empty lines", format!("{}GET / HTTP/1.1\r\nConnection: close\r\nHost: a", "\r\n".repeat(bytes / 2))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_an_end_is_refused_and_costs_little() {
    let gateway = gateway("").await;
    assert!(is_well(&gateway).await);
    let before = resident(&gateway);
    let mut told = 0;
    for bytes in [70 << 10, 127 << 10, 150 << 10, 200 << 10, 900 << 10, 4 << 20] {
        for (what, mut bomb) in bombs(bytes) {
            // One that is read in whole ends, a longer one need not.
            if bytes < 192 << 10 {
                bomb += "\r\n\r\n";
            }
            let mut stream = TcpStream::connect(gateway.web).await.unwrap();
            // Who is cut off may be reset before he reads why.
            let sent = stream.write_all(bomb.as_bytes()).await;
            let answer = exchange(stream, b"").await;
            let is_reset = bytes >= 192 << 10 && (answer.is_empty() || sent.is_err());
            let expected = match what {
                "empty lines" if bytes < 192 << 10 => "HTTP/1.1 200",
                "one value" => "HTTP/1.1 431",
                _ => "HTTP/1.1 4",
            };
            assert!(answer.starts_with(expected) || is_reset, "{what}, {bytes}: {answer}");
            told += usize::from(answer.starts_with("HTTP/1.1 4"));
        }
        assert!(is_well(&gateway).await, "{bytes}");
    }
    let more = resident(&gateway).saturating_sub(before);
    assert!(more < 32 << 10 && told >= 15, "{more} KiB more, {told} were told why");
}

/// Whether an answer is there with all of its body.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    text.split_once("\r\n\r\n")
        .is_some_and(|(head, body)| body.len() == clients::told(head, "content-length")[0].parse::<usize>().unwrap())
}

/// What came before counts for the next request of a connection as little as a body does.
#[tokio::test]
async fn each_head_of_a_connection_counts_by_itself() {
    let gateway = gateway("").await;
    let large = format!("x-large: {}\r\n\r\n", "x".repeat(60 << 10));
    let mut stream = TcpStream::connect(gateway.web).await.unwrap();
    for number in 0..5 {
        stream.write_all(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n{large}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.unwrap().unwrap();
            assert!(read > 0, "{number}: {:.300}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{number}: {:.300}", String::from_utf8_lossy(&answer));
    }
    let body = "x".repeat(300 << 10);
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n{large}", body.len());
    let answer = exchange(TcpStream::connect(gateway.web).await.unwrap(), (head + &body).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.300}");
}
