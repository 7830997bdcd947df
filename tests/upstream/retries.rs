//! What is tried again, and how often at most.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::harness::{Behaviour, Client, Gateway, Upstream, rounds};

fn pool(endpoints: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("{{ address = \"{address}\" }}")).collect();
    format!(
        "routes = [{{ name = \"all\", upstream = \"pool\" }}]\n[upstreams.pool]\nendpoints = [{}]\n{more}\n",
        endpoints.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_one_of_two_under_load_is_not_seen_and_costs_little() {
    for balance in ["round_robin", "least_conn", "p2c"] {
        let (stays, dies) =
            (Upstream::start(Behaviour::Answer("up")).await, Upstream::start(Behaviour::Answer("up")).await);
        let toml = pool(&[stays.address, dies.address], &format!("load_balance = \"{balance}\""));
        let gateway = Gateway::start(&toml, &[]).await;
        let (sent, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (address, sent, stop) = (gateway.address, Arc::clone(&sent), Arc::clone(&stop));
            clients.spawn(async move {
                let mut client = Client::connect(address).await;
                while !stop.load(SeqCst) {
                    sent.fetch_add(1, SeqCst);
                    let response = client.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                    assert_eq!(response.status, 200, "{}", response.body);
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        let arrived_there = dies.kill().await;
        tokio::time::sleep(Duration::from_millis(rounds(1_500, 10_000) as u64)).await;
        stop.store(true, SeqCst);
        clients.join_all().await;
        let (sent, arrived) = (sent.load(SeqCst), arrived_there + stays.seen().len());
        assert!(arrived_there > 50, "{balance}: {arrived_there}");
        assert!(arrived as f64 <= sent as f64 * 1.1, "{balance}: {arrived} arrived of {sent}");
        let retries = gateway.metrics.retries("pool");
        assert_eq!(retries.refused.get(), 0, "{balance}");
        assert!(retries.sent.get() <= 30 + sent as u64 / 10, "{balance}: {} of {sent}", retries.sent.get());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_tried_again_than_the_budget_has() {
    let (one, other) = (Upstream::start(Behaviour::Raw("")).await, Upstream::start(Behaviour::Raw("")).await);
    let toml = pool(&[one.address, other.address], "retries = { attempts = 3, budget_percent = 20 }");
    let gateway = Gateway::start(&toml, &[]).await;
    let started = flaggate::clock::monotonic();
    for _ in 0..200 {
        assert_eq!(gateway.get("/").await.status, 502);
    }
    let retries = gateway.metrics.retries("pool");
    let arrived = (one.seen().len() + other.seen().len()) as u64;
    assert_eq!(arrived, 200 + retries.sent.get());
    assert!(retries.refused.get() > 0);
    if started.elapsed() < Duration::from_secs(9) {
        assert_eq!(retries.sent.get(), 70, "thirty in ten seconds, and a fifth of 200");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_idempotent_or_was_answered_is_sent_once() {
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    for (behaviour, method) in
        [(Behaviour::Raw(""), "POST"), (Behaviour::Raw(HALF), "GET"), (Behaviour::Raw("nonsense\r\n\r\n"), "GET")]
    {
        let (one, other) = (Upstream::start(behaviour).await, Upstream::start(behaviour).await);
        let gateway = Gateway::start(&pool(&[one.address, other.address], ""), &[]).await;
        for _ in 0..10 {
            let mut client = gateway.client().await;
            client.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).await;
            client.send("").await;
            client.receive().await;
        }
        assert_eq!(one.seen().len() + other.seen().len(), 10, "{behaviour:?} {method}");
    }
}
