//! Endpoints that answer with errors are put aside.

use std::{net::SocketAddr, time::Duration};

use flaggate::clock;

use crate::harness::{Behaviour, Gateway, Upstream, until};

const BROKEN: Behaviour = Behaviour::Raw("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n");

fn pool(endpoints: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("{{ address = \"{address}\" }}")).collect();
    format!(
        "routes = [{{ name = \"all\", upstream = \"pool\" }}]\n[upstreams.pool]\nendpoints = [{}]\n{more}\n",
        endpoints.join(", ")
    )
}

fn is_ejected(gateway: &Gateway, upstream: &Upstream) -> bool {
    gateway.metrics.endpoint("pool", &upstream.address.to_string()).ejected.get() == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_put_aside_and_comes_back_and_is_away_longer_the_next_time() {
    let (broken, good) = (Upstream::start(BROKEN).await, Upstream::start(Behaviour::Answer("good")).await);
    let outlier = "outlier = { consecutive_5xx = 3, ejection = \"300ms\" }";
    let gateway = Gateway::start(&pool(&[broken.address, good.address], outlier), &[]).await;
    let metrics = gateway.metrics.endpoint("pool", &broken.address.to_string());
    let mut client = gateway.client().await;
    for round in 1..=3_u32 {
        let mut failed = 0;
        while !is_ejected(&gateway, &broken) {
            let response = client.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            failed += usize::from(response.status == 500);
            assert!(failed <= 3, "after three failures in a row nothing goes there");
        }
        let since = clock::monotonic();
        assert_eq!((metrics.ejections.get(), metrics.healthy.get()), (u64::from(round), 0));
        // The first one of a later round may have failed while the round before was waited out.
        assert!(failed == 3 || (failed == 2 && round > 1), "{failed}");
        while is_ejected(&gateway, &broken) && since.elapsed() < Duration::from_secs(10) {
            let response = client.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            // The time may have ended just now, before the metric tells so.
            assert!(response.status == 200 || since.elapsed() >= Duration::from_millis(290) * round);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (away, expected) = (since.elapsed(), Duration::from_millis(300) * round);
        assert!(away > expected - Duration::from_millis(20) && away < expected + Duration::from_secs(1), "{away:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_than_the_share_is_put_aside() {
    for (max_percent, most) in [(0, 0), (24, 0), (50, 2), (75, 3)] {
        let mut endpoints = Vec::new();
        for _ in 0..4 {
            endpoints.push(Upstream::start(BROKEN).await);
        }
        let addresses: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        let outlier = format!("outlier = {{ consecutive_5xx = 2, ejection = \"1m\", max_percent = {max_percent} }}");
        let gateway = Gateway::start(&pool(&addresses, &outlier), &[]).await;
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let address = gateway.address;
            clients.spawn(async move {
                let mut client = crate::harness::Client::connect(address).await;
                for _ in 0..50 {
                    assert_eq!(client.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 500);
                }
            });
        }
        clients.join_all().await;
        let ejected = endpoints.iter().filter(|endpoint| is_ejected(&gateway, endpoint)).count();
        assert_eq!(ejected, most, "{max_percent} %");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_connections_and_never_answers_is_put_aside_and_nobody_else_waits() {
    let (hole, good) = (Upstream::start(Behaviour::Silent).await, Upstream::start(Behaviour::Answer("good")).await);
    let outlier = "outlier = { consecutive_5xx = 3, ejection = \"1m\" }\ntimeouts = { request = \"500ms\" }";
    let gateway = Gateway::start(&pool(&[hole.address, good.address], outlier), &[]).await;
    let mut statuses = [0, 0];
    for _ in 0..40 {
        let started = clock::monotonic();
        let response = gateway.get("/").await;
        let took = started.elapsed();
        let (kind, low, high) = if response.status == 504 { (1, 450, 600) } else { (0, 0, 300) };
        assert!(matches!(response.status, 200 | 504));
        assert!((low..high).contains(&took.as_millis()), "{} after {took:?}", response.status);
        statuses[kind] += 1;
    }
    assert_eq!(statuses, [37, 3]);
    assert!(is_ejected(&gateway, &hole) && !is_ejected(&gateway, &good));
    until(async || gateway.metrics.requests_in_flight().get() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_good_answer_begins_the_count_anew() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = Upstream::start(Behaviour::Answer("other")).await;
    let address = listener.local_addr().unwrap();
    let outlier = "outlier = { consecutive_5xx = 2, ejection = \"1m\" }";
    let gateway = Gateway::start(&pool(&[address, other.address], outlier), &[]).await;
    let answers = ["500 A", "200 OK", "500 A", "404 B", "500 A", "301 C"];
    let serving = tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert!(tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap() > 0);
            let text = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes()).await.unwrap();
        }
        listener
    });
    while !serving.is_finished() {
        gateway.get("/").await;
    }
    let metrics = gateway.metrics.endpoint("pool", &address.to_string());
    assert_eq!((metrics.ejections.get(), metrics.ejected.get()), (0, 0));
    drop(serving.await.unwrap());
}
