//! The demo's upstreams and users, over real sockets.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use flaggate::demo;
use serde_json::Value;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const NAMES: [&str; 5] = ["v1-blue", "v1-green", "v2-canary", "v2-feature-a", "v2-feature-b"];
const DEADLINE: Duration = Duration::from_secs(20);

fn any_ports() -> Vec<(String, SocketAddr)> {
    NAMES.iter().map(|name| ((*name).to_owned(), SocketAddr::from(([127, 0, 0, 1], 0)))).collect()
}

#[tokio::test]
async fn upstreams_tell_who_they_are_and_what_they_were_told() {
    let cancel = CancellationToken::new();
    let upstreams = demo::upstreams(&any_ports(), &demo::Faults::default(), cancel.clone()).await.unwrap();
    let client = reqwest::Client::new();
    for (name, address) in upstreams.addresses() {
        let health = client.get(format!("http://{address}/healthz")).send().await.unwrap();
        assert_eq!(health.status(), 200);

        let request = client.post(format!("http://{address}/cart?a=1"));
        let request = request.header("X-User-Id", "user-1").header("X-Flags", "theme=dark").header("Cookie", "uid=1");
        let response = request.header("X-Flaggate-Route", "shop;strategy=canary").send().await.unwrap();
        assert_eq!(response.headers()["x-demo-upstream"], name.as_str());
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["upstream"], name.as_str());
        assert_eq!((&answer["method"], &answer["path"]), (&"POST".into(), &"/cart?a=1".into()));
        assert_eq!(answer["told"]["x-user-id"], "user-1");
        assert_eq!(answer["told"]["x-flags"], "theme=dark");
        assert_eq!(answer["decision"]["strategy"], "canary");
        assert!(answer["told"].get("cookie").is_none());

        let page = client.get(format!("http://{address}/")).header("Accept", "text/html,*/*").send().await.unwrap();
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
        assert!(page.text().await.unwrap().contains(&format!("<h1>{name}</h1>")));
    }
    drop(client);
    cancel.cancel();
    tokio::time::timeout(DEADLINE, upstreams.stopped()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = demo::upstreams(&[("v1-blue".into(), address)], &demo::Faults::default(), CancellationToken::new())
        .await
        .unwrap_err();
    let message = error.to_string();
    assert!(message.contains("\"v1-blue\"") && message.contains(&address.to_string()), "{message}");
}

/// Stands in for the gateway: counts requests, and notes the connections that they came by.
struct Counted {
    requests: Arc<Semaphore>,
    connections: Arc<Mutex<BTreeSet<SocketAddr>>>,
    server: JoinHandle<()>,
}

fn count_requests(listener: TcpListener) -> Counted {
    let requests = Arc::new(Semaphore::new(0));
    let connections = Arc::new(Mutex::new(BTreeSet::new()));
    let (counter, seen) = (Arc::clone(&requests), Arc::clone(&connections));
    let answer = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
        seen.lock().expect("no holder panics").insert(peer);
        counter.add_permits(1);
        "an answer"
    };
    let router = Router::new().fallback(answer).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serving goes on for ever") });
    Counted { requests, connections, server }
}

impl Counted {
    async fn wait_for(&self, requests: u32) {
        let counted = tokio::time::timeout(DEADLINE, self.requests.acquire_many(requests)).await;
        counted.expect("the requests come in time").expect("the semaphore is never closed").forget();
    }
}

#[tokio::test]
async fn users_ask_over_a_connection_that_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (gateway, cancel) = (listener.local_addr().unwrap(), CancellationToken::new());
    let counted = count_requests(listener);
    let traffic = tokio::spawn(demo::traffic(gateway, demo::MODEST, cancel.clone()));
    counted.wait_for(10).await;
    cancel.cancel();
    let met = tokio::time::timeout(DEADLINE, traffic).await.unwrap().unwrap();
    // The last one may have been asked and not been answered yet.
    assert!(met.succeeded >= 9 && (met.refused, met.failed) == (0, 0), "{met:?}");
    assert_eq!(counted.connections.lock().unwrap().len(), 1);
    counted.server.abort();
}

#[tokio::test]
async fn users_come_back_when_the_gateway_does() {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (gateway, cancel) = (first.local_addr().unwrap(), CancellationToken::new());
    let traffic = tokio::spawn(demo::traffic(gateway, demo::MODEST, cancel.clone()));
    // The first gateway takes the connection and goes away without an answer.
    drop(tokio::time::timeout(DEADLINE, first.accept()).await.unwrap().unwrap());
    let counted = count_requests(first);
    counted.wait_for(2).await;
    cancel.cancel();
    let met = tokio::time::timeout(DEADLINE, traffic).await.unwrap().unwrap();
    assert!(met.failed == 1 && met.succeeded >= 1, "{met:?}");
    counted.server.abort();
}
