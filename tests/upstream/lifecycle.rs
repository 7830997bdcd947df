//! Stopping.

use std::time::Duration;

use flaggate::clock;
use tokio::io::AsyncWriteExt;

use crate::harness::{Behaviour, Gateway, Upstream, until};

fn toml(upstream: std::net::SocketAddr) -> String {
    format!(
        "routes = [{{ name = \"all\", upstream = \"only\" }}]\nupstreams.only.endpoints = [{{ address = \"{upstream}\" }}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_gateway_stops_at_once() {
    let upstream = Upstream::start(Behaviour::Answer("ok")).await;
    let gateway = Gateway::start(&toml(upstream.address), &[]).await;
    let mut kept = gateway.client().await;
    assert_eq!(kept.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    let started = clock::monotonic();
    gateway.stop(Duration::ZERO);
    until(async || gateway.has_ended()).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_stopping_requests_are_taken_and_connections_closed_and_the_last_one_is_finished() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::start(&toml(listener.local_addr().unwrap()), &[]).await;
    let mut slow = gateway.client().await;
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut slow_upstream, _) = listener.accept().await.unwrap();

    gateway.stop(Duration::from_millis(300));
    until(async || gateway.drain.is_draining()).await;
    let mut late = gateway.client().await;
    late.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut late_upstream, _) = listener.accept().await.unwrap();
    late_upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    let response = late.receive().await.unwrap();
    assert_eq!((response.status, response.header("connection").unwrap().as_str()), (200, "close"));

    // The listener closes; the request that is under way does not care.
    until(async || tokio::net::TcpStream::connect(gateway.address).await.is_err()).await;
    assert!(!gateway.has_ended());
    slow_upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await.unwrap();
    assert_eq!(slow.receive().await.unwrap().body, "slow");
    let ended = tokio::time::timeout(Duration::from_secs(1), until(async || gateway.has_ended())).await;
    assert!(ended.is_ok(), "the gateway ends with its last request");
}
