//! Clients that are unusual or rude.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::harness::{Behaviour, Client, Gateway, PATIENCE, Upstream, until};

const UPGRADE: &str = "GET /live HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn gateway(upstream: &Upstream, route: &str) -> Gateway {
    let toml = format!(
        "routes = [{{ name = \"all\", upstream = \"only\", {route} }}]\n\
         upstreams.only.endpoints = [{{ address = \"{}\" }}]\n",
        upstream.address
    );
    Gateway::start(&toml, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused() {
    let upstream = Upstream::start(Behaviour::Answer("taken")).await;
    let gateway = gateway(&upstream, "limits = { body = \"1KiB\" }").await;
    let large = "x".repeat(1025);
    let declared = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n{large}");
    let chunked =
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n{large}\r\n0\r\n\r\n");
    for request in [&declared, &chunked] {
        let response = gateway.request(request).await;
        assert_eq!(response.status, 413, "{}", response.body);
    }
    let fits = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n{}", "x".repeat(1024));
    assert_eq!(gateway.request(&fits).await.body, "taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_far_too_much_still_reads_its_answer() {
    let upstream = Upstream::start(Behaviour::Answer("taken")).await;
    let gateway = gateway(&upstream, "limits = { body = \"1KiB\" }").await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n").await;
    client.send(&"x".repeat(8_388_608)).await;
    let response = client.receive().await.unwrap();
    assert_eq!(response.status, 413);
    assert_eq!(response.header("connection").unwrap(), "close");
    assert!(client.rest().await.is_empty(), "what is left of the body is not taken for a request");
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_leaves_the_connection_usable() {
    let upstream = Upstream::start(Behaviour::Answer("taken")).await;
    let gateway = gateway(&upstream, "match = { path_prefix = \"/known\" }").await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let refused = "POST /unknown HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\n\r\nGET /known/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(client.request(refused).await.status, 404);
        assert_eq!(client.request("GET /known HTTP/1.1\r\nHost: a\r\n\r\n").await.body, "taken");
    }
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_both_ways() {
    let upstream = Upstream::start(Behaviour::Echo).await;
    let gateway = gateway(&upstream, "limits = { body = \"1KiB\" }").await;
    let mut client = gateway.client().await;
    let response = client.request(UPGRADE).await;
    assert_eq!(response.status, 101, "{}", response.head);
    assert_eq!(response.header("upgrade").unwrap(), "websocket");
    for round in 0..20 {
        let message = format!("{round:>512}");
        client.send(&message).await;
        let mut echo = vec![0; message.len()];
        let reading = tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut echo);
        tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap();
        assert_eq!(echo, message.as_bytes());
    }
    drop(client);
    until(async || gateway.drain.in_flight() == 0).await;
}

/// A fast upstream's 101 could end the tunnel at once (see `src/gateway/upgrade.rs`): about 1 in 200 were cut.
#[tokio::test(flavor = "multi_thread")]
async fn no_tunnel_is_cut_however_fast_the_upstream_answers() {
    let upstream = Upstream::start(Behaviour::Echo).await;
    let gateway = gateway(&upstream, "").await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let address = gateway.address;
        clients.spawn(async move {
            for _ in 0..200 {
                let mut client = Client::connect(address).await;
                assert_eq!(client.request(UPGRADE).await.status, 101);
                client.send("hello").await;
                let mut echo = [0; 5];
                let reading = tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut echo);
                tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("the tunnel is open");
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_the_upstream_declines_is_an_ordinary_answer() {
    let upstream = Upstream::start(Behaviour::Answer("no")).await;
    let gateway = gateway(&upstream, "").await;
    let mut client = gateway.client().await;
    for _ in 0..20 {
        let response = client.request(UPGRADE).await;
        assert_eq!((response.status, response.body.as_str()), (200, "no"));
        assert_eq!(client.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.body, "no");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_to_nobody_is_a_bad_gateway() {
    let upstream = Upstream::start(Behaviour::Echo).await;
    let gateway = gateway(&upstream, "").await;
    upstream.stop().await;
    assert_eq!(gateway.request(UPGRADE).await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_was_not_asked_for_is_not_passed_on() {
    let upstream = Upstream::start(Behaviour::Echo).await;
    let gateway = gateway(&upstream, "").await;
    assert_eq!(gateway.get("/").await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_means_for_its_connection_stays_there() {
    let upstream = Upstream::start(Behaviour::Raw(
        "HTTP/1.1 200 OK\r\nConnection: X-Internal, close\r\nX-Internal: 1\r\nKeep-Alive: timeout=5\r\nServer: nginx\r\n\
         X-Kept: 2\r\nContent-Length: 2\r\n\r\nok",
    ))
    .await;
    let gateway = gateway(&upstream, "expose = true").await;
    let response = gateway.get("/").await;
    assert_eq!(response.header("x-internal"), None);
    assert_eq!(response.header("keep-alive"), None);
    assert_eq!(response.header("server").unwrap(), "flaggate");
    assert_eq!(response.header("x-kept").unwrap(), "2");
    assert_eq!(response.header("connection").unwrap(), "keep-alive");
    assert_eq!(response.header("x-flaggate-upstream").unwrap(), "only");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_go_away_leave_nothing_behind() {
    let upstream = Upstream::start(Behaviour::Silent).await;
    let gateway = gateway(&upstream, "").await;
    for _ in 0..200 {
        let mut client = gateway.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    }
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = gateway.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    until(async || gateway.drain.in_flight() >= 100).await;
    drop(clients);
    let left = tokio::time::timeout(Duration::from_secs(1), until(async || gateway.drain.in_flight() == 0)).await;
    assert!(left.is_ok(), "{} requests are still in flight", gateway.drain.in_flight());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_answers_say_head_without_a_body() {
    let upstream = Upstream::start(Behaviour::Answer("taken")).await;
    let gateway = gateway(&upstream, "match = { path_prefix = \"/known\" }").await;
    let mut client = gateway.client().await;
    client.send("HEAD /unknown HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    client.stream.flush().await.unwrap();
    let got = String::from_utf8(client.rest().await).unwrap();
    assert!(got.starts_with("HTTP/1.1 404 ") && got.ends_with("\r\n\r\n"), "{got}");
}
