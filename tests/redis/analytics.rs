//! Analytics in Redis: the contract, what it costs, and two gateways of the real binary whose planted effects are found.

use std::{collections::BTreeMap, sync::Arc};

use flaggate::store::{AnalyticsStore, RedisStore};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    replicas::{Gateway, until},
    server::Server,
};

/// Analytics, and their server.
struct Home {
    analytics: Arc<dyn AnalyticsStore>,
    _server: Server,
}

fn one_server() -> Home {
    let server = Server::start(&[]);
    Home { analytics: Arc::new(RedisStore::new(server.config())), _server: server }
}

experience_contract!(one_server_keeps_it, crate::analytics::one_server);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_it() {
    let cluster = Cluster::start();
    experience_contract!(each |promise: &str| {
        Arc::new(RedisStore::new(cluster.config(&format!("{{{promise}}}:")))) as Arc<dyn AnalyticsStore>
    });
}

/// Users of a planted experiment.
struct Plan {
    users: u64,
    /// So many of a hundred users convert without the feature, and so many with it.
    converts: (u64, u64),
    requests_each: u64,
    /// How many milliseconds the canary takes; the stable one takes 20.
    millis: u64,
}

impl Plan {
    /// Few in each run of the tests; enough for the effects to be found as in a real experiment in a full one.
    fn here() -> Self {
        match std::env::var("FLAGGATE_MEASURE").as_deref() == Ok("full") {
            true => Self { users: 24_000, converts: (20, 23), requests_each: 2, millis: 24 },
            false => Self { users: 1_500, converts: (20, 40), requests_each: 2, millis: 40 },
        }
    }
}

/// An upstream that answers after about so many milliseconds.
async fn slow_upstream(name: &'static str, millis: u64) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                let mut head = Vec::new();
                while let Ok(read) = stream.read_buf(&mut head).await
                    && read > 0
                {
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
                        if stream.write_all(response.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// Each user asks at one gateway, and does what is planned at the other. What everybody got is counted here.
async fn live_through(gateways: &[Gateway], plan: &Plan) -> BTreeMap<&'static str, (u64, u64)> {
    const CLIENTS: u64 = 32;
    let mut asking = Vec::new();
    for client in 0..CLIENTS {
        let mut asked = gateways[usize::from(client % 2 == 1)].client();
        let (users, requests, converts) = (plan.users, plan.requests_each, plan.converts);
        asking.push(tokio::spawn(async move {
            let (mut told, mut actions) = (BTreeMap::<&'static str, (u64, u64)>::new(), Vec::new());
            for user in (0..users).filter(|user| user % CLIENTS == client) {
                let id = format!("user-{user}");
                let mut got = String::new();
                for _ in 0..requests {
                    got = asked.get(&id).await.unwrap();
                }
                let variation = if got == "canary" { "true" } else { "false" };
                let of_hundred = if got == "canary" { converts.1 } else { converts.0 };
                let counted = told.entry(variation).or_default();
                counted.0 += 1;
                // Spread evenly, whatever the variation is drawn by.
                if (user * 7_919) % 100 < of_hundred {
                    counted.1 += 1;
                    actions.push(json!({ "user_id": id, "event": "purchase", "value": 2.5 }));
                }
            }
            (told, actions)
        }));
    }
    let mut all: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    let mut actions = Vec::new();
    for client in asking {
        let (told, done) = client.await.unwrap();
        for (variation, (users, converted)) in told {
            let sum = all.entry(variation).or_default();
            *sum = (sum.0 + users, sum.1 + converted);
        }
        actions.extend(done);
    }
    for (number, some) in actions.chunks(500).enumerate() {
        let (status, answer) = gateways[number % 2].ask("POST", "/track", Some(json!(some))).await;
        assert!(status < 300, "{answer}");
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_effects_are_found_over_two_gateways() {
    let redis = Server::start(&[]);
    let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"", redis.port);
    let plan = Plan::here();
    let upstreams = [slow_upstream("stable", 20).await, slow_upstream("canary", plan.millis).await];
    let gateways = [Gateway::start(upstreams, &store, "").await, Gateway::start(upstreams, &store, "").await];
    let flag = json!({ "key": "canary", "name": "Canary", "rollout_enabled": true, "rollout_percentage": 50 });
    let (status, told) = gateways[0].ask("POST", "/flags?wait=all", Some(flag)).await;
    assert!(status < 300, "{told}");
    let expected = live_through(&gateways, &plan).await;
    // Evaluations without requests count as well.
    for user in 0..20 {
        let asked = json!({ "user_id": format!("user-{user}") });
        assert_eq!(gateways[1].ask("POST", "/flags/canary/evaluate", Some(asked)).await.0, 200);
    }
    let converted: u64 = expected.values().map(|(_, converted)| converted).sum();
    let path = "/analytics/flags/canary?from=1h";
    let read = async |gateway: &Gateway| gateway.ask("GET", path, None).await.1;
    let of = |told: &Value, name: &str| -> Value {
        told["variations"].as_array().into_iter().flatten().find(|arm| arm["name"] == name).cloned().unwrap_or_default()
    };
    until("everybody and everything they did is told", async || {
        let told = read(&gateways[0]).await;
        let done = |name| of(&told, name)["metrics"]["purchase"]["converted"].as_u64().unwrap_or_default();
        done("true") + done("false") >= converted
            && told["evaluations"].as_u64() >= Some(plan.users * plan.requests_each + 20)
    })
    .await;
    let told = read(&gateways[1]).await;
    for (name, (users, converted)) in &expected {
        let arm = of(&told, name);
        assert_eq!(arm["participants"], *users, "{name}");
        assert_eq!(arm["requests"], users * plan.requests_each, "{name}");
        assert_eq!(arm["metrics"]["purchase"]["converted"], *converted, "{name}");
        assert_eq!(arm["metrics"]["purchase"]["value"], *converted as f64 * 2.5, "{name}");
        let seen = arm["users"].as_f64().unwrap();
        assert!((seen / *users as f64 - 1.0).abs() <= 0.02, "{name}: {seen} of {users}");
    }
    assert_eq!(told["evaluations"], plan.users * plan.requests_each + 20);
    assert_eq!((&told["control"], &told["crossed"], &told["one_in"]), (&json!("false"), &json!(0), &json!(1)));
    let treated = of(&told, "true");
    let purchase = &treated["metrics"]["purchase"]["rate_compared"];
    let latency = &treated["latency_compared"];
    println!("purchase: {purchase}\nlatency: {latency}\nsplit: {}", told["sample_ratio"]);
    assert!(purchase["p_value"].as_f64().unwrap() < 0.05 && purchase["lift"]["low"].as_f64().unwrap() > 0.0);
    let planted = plan.converts.1 as f64 / plan.converts.0 as f64 - 1.0;
    let lift = &purchase["lift"];
    assert!(lift["low"].as_f64().unwrap() < planted && planted < lift["high"].as_f64().unwrap(), "{lift}");
    assert!(latency["p_value"].as_f64().unwrap() < 0.01 && latency["lift"]["low"].as_f64().unwrap() > 0.05);
    assert_eq!(told["sample_ratio"]["is_mismatch"], false);
    assert_eq!(told["sample_ratio"]["expected"]["true"], 0.5);
    assert!(treated["errors_compared"].is_null(), "there are no errors on either side");
    // The route tells the same.
    let (_, route) = gateways[0].ask("GET", "/analytics/routes/shop?from=1h", None).await;
    assert_eq!(route["requests"], plan.users * plan.requests_each);
    assert_eq!(route["control"], "default stable");
    let (_, told) = gateways[1].ask("GET", "/insights?severity=warning", None).await;
    let rules: Vec<&str> =
        told["insights"].as_array().unwrap().iter().filter_map(|found| found["rule"].as_str()).collect();
    assert!(rules.contains(&"worse_latency") && !rules.contains(&"worse_errors"), "{told:#}");
    assert_eq!(told["attributions"], json!([]), "nothing was changed");
    let shown = std::process::Command::new(env!("CARGO_BIN_EXE_flaggate"))
        .args(["analytics", "canary", "--from", "1h", "--admin", &gateways[0].admin.to_string()])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    println!("{shown}");
    assert!(shown.contains("false (control)") && shown.contains("purchase of those who were drawn"), "{shown}");
    assert_eq!(gateways[0].ask("GET", "/analytics/flags/none", None).await.0, 404);
    assert_eq!(gateways[0].ask("GET", "/analytics/flags/canary?from=x", None).await.0, 422);
}
