//! Upstreams that fail.

use std::{collections::BTreeMap, time::Duration};

use flaggate::{clock, config::Timeouts};

use crate::harness::{Behaviour, Gateway, Upstream, nobody, rounds, until};

const POST: &str = "POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\n\r\nbody";

/// One route to one upstream of these endpoints.
fn pool(endpoints: &[std::net::SocketAddr], more: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("{{ address = \"{address}\" }}")).collect();
    format!(
        "routes = [{{ name = \"all\", upstream = \"pool\" }}]\n\
         [upstreams.pool]\nload_balance = \"round_robin\"\nendpoints = [{}]\n{more}\n",
        endpoints.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_endpoints_down_is_not_seen() {
    let upstream = Upstream::start(Behaviour::Answer("up")).await;
    let gateway = Gateway::start(&pool(&[nobody(), upstream.address], ""), &[]).await;
    for _ in 0..50 {
        assert_eq!(gateway.get("/a").await.body, "up");
        assert_eq!(gateway.request(POST).await.body, "up", "nothing was sent yet, so a POST may go elsewhere");
    }
    assert_eq!(upstream.seen().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_dies_is_not_seen() {
    let (stays, dies) =
        (Upstream::start(Behaviour::Answer("up")).await, Upstream::start(Behaviour::Answer("up")).await);
    let gateway = Gateway::start(&pool(&[stays.address, dies.address], ""), &[]).await;
    let mut client = gateway.client().await;
    for _ in 0..10 {
        assert_eq!(client.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    }
    assert!(!dies.seen().is_empty());
    dies.stop().await;
    for _ in 0..50 {
        assert_eq!(client.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_a_bad_gateway() {
    let gateway = Gateway::start(&pool(&[nobody()], ""), &[]).await;
    let response = gateway.get("/a").await;
    assert_eq!(response.status, 502);
    assert_eq!(response.header("content-type").unwrap(), "application/problem+json");
    assert_eq!(response.header("server").unwrap(), "flaggate");
    let problem: serde_json::Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(problem["status"], 502);
    assert!(!problem["request_id"].as_str().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_that_fails_makes_it_unavailable_and_one_that_succeeds_brings_it_back() {
    let address = nobody();
    let check = "health_check = { interval = \"20ms\", healthy = 1, unhealthy = 1 }";
    let gateway = Gateway::start(&pool(&[address], check), &[]).await;
    let response = gateway.get("/a").await;
    assert_eq!(response.status, 503, "{}", response.body);

    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    until(async || gateway.metrics.endpoint_healthy("pool", &address.to_string()).get() == 1).await;
    drop(listener);
    until(async || gateway.metrics.endpoint_healthy("pool", &address.to_string()).get() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_upstream_is_a_time_out_in_time() {
    let upstream = Upstream::start(Behaviour::Silent).await;
    let time = Duration::from_millis(300);
    let changes: [fn(&mut Timeouts, Duration); 2] =
        [|times, time| times.request = time, |times, time| times.read = time];
    for change in changes {
        let toml = pool(&[upstream.address], "");
        let gateway =
            Gateway::start_changed(&toml, &[], |config| change(&mut config.upstreams[0].timeouts, time)).await;
        for request in ["GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n", POST] {
            let started = clock::monotonic();
            let response = gateway.request(request).await;
            let took = started.elapsed();
            assert_eq!(response.status, 504, "{}", response.body);
            assert!(took > Duration::from_millis(280) && took < Duration::from_millis(600), "{took:?}");
        }
    }
    assert_eq!(upstream.seen().len(), 4, "a request that timed out is not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_long_to_end_is_not_cut_by_the_time_for_its_header() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let toml = pool(&[listener.local_addr().unwrap()], "");
    let time = Duration::from_millis(200);
    let gateway = Gateway::start_changed(&toml, &[], |config| config.upstreams[0].timeouts.request = time).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut upstream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na").await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    tokio::io::AsyncWriteExt::write_all(&mut upstream, b"b").await.unwrap();
    assert_eq!(client.receive().await.unwrap().body, "ab");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cut_off_is_seen_as_cut_off() {
    for (answer, complete) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "halfandhal"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "0\r\n\r\n"),
    ] {
        let upstream = Upstream::start(Behaviour::Raw(answer)).await;
        let gateway = Gateway::start(&pool(&[upstream.address], ""), &[]).await;
        for _ in 0..rounds(100, 1_000) {
            let mut client = gateway.client().await;
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let got = String::from_utf8(client.rest().await).unwrap();
            assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
            assert!(got.contains("half") && !got.ends_with(complete), "{got}");
        }
        assert_eq!(upstream.seen().len(), rounds(100, 1_000), "no request is sent twice");
    }
}

/// A POST that meets a connection which the upstream closes, or resets, is sent once.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_is_sent_again_on_a_dead_connection_and_a_post_never() {
    for behaviour in [Behaviour::CloseReused, Behaviour::ResetReused] {
        let upstream = Upstream::start(behaviour).await;
        let gateway = Gateway::start(&pool(&[upstream.address], "retries = { budget_percent = 100 }"), &[]).await;
        let (mut posts, wanted) = (0, rounds(500, 10_000));
        let mut client = gateway.client().await;
        let mut round = 0;
        while posts < wanted {
            // The first leaves a connection behind, on which the upstream does not answer.
            assert_eq!(client.request("GET /get HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200, "round {round}");
            let response = gateway.request(&POST.replace("/a", &format!("/post-{round}"))).await;
            posts += usize::from(response.status == 502);
            round += 1;
            assert!(round < 3 * wanted, "only {posts} of {round} POST met a connection that was left behind");
        }
        let mut sent = BTreeMap::new();
        for head in upstream.seen().iter().filter(|head| head.starts_with("POST ")) {
            *sent.entry(head.split(' ').nth(1).unwrap().to_owned()).or_insert(0) += 1;
        }
        assert!(sent.len() >= wanted && sent.values().all(|times| *times == 1), "{behaviour:?}: {posts} of {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_http_is_a_bad_gateway() {
    let upstream = Upstream::start(Behaviour::Raw("SSH-2.0-OpenSSH_9.6\r\n\r\n")).await;
    let gateway = Gateway::start(&pool(&[upstream.address], ""), &[]).await;
    assert_eq!(gateway.get("/").await.status, 502);
}
