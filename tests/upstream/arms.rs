//! What is counted of requests, by the ways that they go.

use std::collections::BTreeMap;

use flaggate::model::{Arm, ArmCounts};
use serde_json::json;

use crate::harness::{Behaviour, Client, Gateway, Upstream, nobody, until};

/// Requests and errors by `route strategy upstream` and `flag=variation`, of all that was counted until now.
#[derive(Default)]
struct Counts(BTreeMap<String, ArmCounts>);

impl Counts {
    fn take(&mut self, gateway: &Gateway) {
        for (arm, counts) in gateway.arms.take() {
            let name = match arm {
                Arm::Route { route, strategy, upstream } => format!("{route} {strategy} {upstream}"),
                Arm::Variation { flag, variation } => format!("{flag}={variation}"),
            };
            self.0.entry(name).or_default().merge(&counts);
        }
    }

    /// Waits until so many requests were counted for all routes together.
    async fn until(&mut self, gateway: &Gateway, requests: u64) {
        let this = std::cell::RefCell::new(std::mem::take(self));
        until(async || {
            let mut counts = this.borrow_mut();
            counts.take(gateway);
            let of_routes = counts.0.iter().filter(|(name, _)| name.contains(' '));
            of_routes.map(|(_, counts)| counts.requests).sum::<u64>() >= requests
        })
        .await;
        *self = this.into_inner();
    }

    fn told(&self) -> BTreeMap<&str, (u64, u64)> {
        self.0.iter().map(|(name, counts)| (&**name, (counts.requests, counts.errors))).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_what_the_upstream_did() {
    let [fine, broken, silent, closing, cut] = [
        Upstream::start(Behaviour::Answer("fine")).await,
        Upstream::start(Behaviour::Raw("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")).await,
        Upstream::start(Behaviour::Silent).await,
        Upstream::start(Behaviour::Raw("")).await,
        Upstream::start(Behaviour::Raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut")).await,
    ];
    let mut toml = String::new();
    let all = [
        ("fine", fine.address, ""),
        ("broken", broken.address, ""),
        ("silent", silent.address, "timeouts = { request = \"200ms\" }"),
        ("closing", closing.address, ""),
        ("cut", cut.address, ""),
        ("away", nobody(), ""),
        ("unhealthy", nobody(), "health_check = { interval = \"100ms\" }"),
    ];
    for (name, address, more) in all {
        toml += &format!("[upstreams.{name}]\nendpoints = [{{ address = \"{address}\" }}]\n{more}\n");
    }
    for (name, _, _) in all {
        toml += &format!(
            "[[routes]]\nname = \"{name}\"\nmatch = {{ path_prefix = \"/{name}\" }}\nupstream = \"{name}\"\n\
             limits = {{ body = \"10B\" }}\n"
        );
    }
    let gateway = Gateway::start(&toml, &[]).await;
    let mut counts = Counts::default();
    for (name, status) in
        [("fine", 200), ("broken", 503), ("silent", 504), ("closing", 502), ("away", 502), ("unhealthy", 503)]
    {
        assert_eq!(gateway.get(&format!("/{name}")).await.status, status, "{name}");
    }
    let mut client = gateway.client().await;
    client.send("GET /cut HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    client.rest().await;
    // Nobody's fault but the client's.
    assert_eq!(gateway.get("/none").await.status, 404);
    assert_eq!(gateway.get("/fine/a%2fb").await.status, 400);
    let large = "POST /fine HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 11\r\n\r\n01234567890";
    assert_eq!(gateway.request(large).await.status, 413);
    let chunked =
        "POST /fine HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n";
    assert_eq!(gateway.request(chunked).await.status, 413);
    for gone in
        ["GET /silent HTTP/1.1\r\nHost: h\r\n\r\n", "POST /fine HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab"]
    {
        let mut client = Client::connect(gateway.address).await;
        client.send(gone).await;
        until(async || gateway.metrics.requests_in_flight().get() == 1).await;
        drop(client);
        until(async || gateway.metrics.requests_in_flight().get() == 0).await;
    }
    counts.until(&gateway, 7).await;
    assert_eq!(
        counts.told(),
        BTreeMap::from([
            ("away default away", (1, 1)),
            ("broken default broken", (1, 1)),
            ("closing default closing", (1, 1)),
            ("cut default cut", (1, 1)),
            ("fine default fine", (1, 0)),
            ("silent default silent", (1, 1)),
            ("unhealthy default unhealthy", (1, 1)),
        ])
    );
    let slow = &counts.0["silent default silent"].latency;
    assert!(slow.above(flaggate::model::Latency::bucket(190_000)) == 1, "{slow:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_flag_of_the_route_counts_and_users_once() {
    let stable = Upstream::start(Behaviour::Answer("stable")).await;
    let canary = Upstream::start(Behaviour::Raw("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")).await;
    let toml = format!(
        "context.accept_identity_from = \"anyone\"\n\
         [upstreams.stable]\nendpoints = [{{ address = \"{}\" }}]\n[upstreams.canary]\nendpoints = [{{ address = \"{}\" }}]\n\
         [[routes]]\nname = \"shop\"\nupstream = \"stable\"\ncanary = {{ flag = \"half\", upstream = \"canary\" }}\n\
         flags = [\"theme\", \"unknown\"]\n",
        stable.address, canary.address
    );
    let flags = [
        json!({ "key": "half", "rollout_enabled": true, "rollout_percentage": 50 }),
        json!({ "key": "theme", "default_value": "blue" }),
        json!({ "key": "unnamed" }),
    ];
    let gateway = Gateway::start(&toml, &flags).await;
    let mut client = gateway.client().await;
    let mut failed = 0;
    for number in 0..200 {
        let user = number % 40;
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: user-{user}\r\n\r\n");
        let status = client.request(&request).await.status;
        failed += u64::from(status == 500);
    }
    let without = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let status = gateway.request(without).await.status;
    failed += u64::from(status == 500);
    let mut counts = Counts::default();
    counts.until(&gateway, 201).await;
    assert!((40..160).contains(&failed), "{failed}");
    assert_eq!(
        counts.told(),
        BTreeMap::from([
            ("half=false", (201 - failed, 0)),
            ("half=true", (failed, failed)),
            ("shop canary canary", (failed, failed)),
            ("shop default stable", (201 - failed, 0)),
            ("theme=blue", (201, failed)),
        ])
    );
    let users = |name: &str| (counts.0[name].users.count().round(), counts.0[name].users_with_error.count().round());
    assert_eq!(users("theme=blue").0, 40.0);
    assert_eq!(users("half=true").0, users("half=true").1);
    assert_eq!(users("half=true").0 + users("half=false").0, 40.0);
    assert_eq!(users("half=false").1, 0.0);
}
