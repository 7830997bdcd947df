//! Several gateways of the real binary over one real Redis.
use std::{net::SocketAddr, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{
    replicas::{Gateway, Load, until, upstream},
    server::Server,
};

/// Three gateways, and their Redis.
struct World {
    redis: Server,
    upstreams: [SocketAddr; 2],
    gateways: Vec<Gateway>,
}

impl World {
    async fn start(count: usize) -> Self {
        Self::start_with(count, "").await
    }

    async fn start_with(count: usize, store: &str) -> Self {
        let redis = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let upstreams = [upstream("stable").await, upstream("canary").await];
        let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\n{store}", redis.port);
        let mut gateways = Vec::new();
        for number in 1..=count {
            // A machine that is busy must not make a quick answer late.
            let name = format!("server.name = \"gateway-{number}\"\nprofiles.budget = \"2s\"");
            gateways.push(Gateway::start(upstreams, &store, &name).await);
        }
        let flag = json!({ "key": "canary", "name": "Canary", "rollout_enabled": true, "rollout_percentage": 0 });
        for gateway in &gateways {
            gateway.until_store("the store answers", |store| store["store_up"] == true).await;
        }
        let (status, answer) = gateways[0].ask("POST", &format!("/flags?wait={count}"), Some(flag)).await;
        assert_eq!(status, 200, "{answer}");
        Self { redis, upstreams, gateways }
    }

    /// The upstreams that one user reaches through each gateway.
    async fn reached(&self) -> Vec<Option<String>> {
        let mut reached = Vec::new();
        for gateway in &self.gateways {
            reached.push(gateway.client().get("ann").await);
        }
        reached
    }
}

fn all(upstream: &str, count: usize) -> Vec<Option<String>> {
    vec![Some(upstream.to_owned()); count]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_write_is_served_by_all() {
    let mut world = World::start(3).await;
    for round in 0..20 {
        let (percentage, expected) = if round % 2 == 0 { (100, "canary") } else { (0, "stable") };
        let (status, answer) = world.gateways[round % 3].set_canary(percentage, "?wait=all").await;
        assert_eq!((status, &answer["acknowledged"], &answer["of"]), (200, &json!(3), &json!(3)), "{answer}");
        assert!(answer["ms"].as_f64().unwrap() > 0.0 && answer["revision"].is_u64(), "{answer}");
        assert_eq!(world.reached().await, all(expected, 3));
    }
    let (status, answer) = world.gateways[0].set_canary(50, "?wait=4&timeout=0.05").await;
    assert_eq!((status, &answer["success"], &answer["acknowledged"]), (202, &json!(true), &json!(3)), "{answer}");
    let (status, answer) = world.gateways[0].set_canary(50, "?wait=soon").await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["query", "wait"])), "{answer}");

    // Who says goodbye is not waited for.
    world.gateways[2].stop().await;
    let (status, answer) = world.gateways[0].set_canary(10, "?wait=all").await;
    assert_eq!((status, &answer["of"]), (200, &json!(2)), "{answer}");
    let (_, answer) = world.gateways[0].ask("GET", "/gateways", None).await;
    let names: Vec<&Value> = answer["gateways"].as_array().unwrap().iter().map(|gateway| &gateway["name"]).collect();
    assert_eq!(names, ["gateway-1", "gateway-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_dies_under_load_fails_no_request_and_is_caught_up_with() {
    let mut world = World::start_with(2, "ready_stale_after = \"500ms\"").await;
    world.gateways[0].set_canary(50, "?wait=all").await;
    let load = Load::start(&world.gateways, 4, Duration::from_millis(1));
    world.redis.kill();
    for gateway in &world.gateways {
        gateway.until_store("the loss is seen", |store| store["store_up"] == false).await;
        until("it is not ready", async || gateway.ask("GET", "/readyz", None).await.0 == 503).await;
        let (status, _) = gateway.set_canary(10, "").await;
        assert_eq!(status, 503);
    }
    world.redis.resume();
    for gateway in &world.gateways {
        gateway.until_store("the store is back", |store| store["store_up"] == true).await;
        until("it is ready", async || gateway.ask("GET", "/readyz", None).await.0 == 200).await;
    }
    let asked = load.end().await;
    assert_eq!((asked.failed, asked.flipped), (0, 0), "of {}", asked.micros.len());
    let (status, answer) = world.gateways[1].set_canary(100, "?wait=all").await;
    assert_eq!((status, &answer["acknowledged"]), (200, &json!(2)), "{answer}");
    assert_eq!(world.reached().await, all("canary", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_flips_nobody_and_is_written_back() {
    let world = World::start(2).await;
    world.gateways[0].set_canary(50, "?wait=all").await;
    let load = Load::start(&world.gateways, 4, Duration::from_millis(1));
    world.redis.ask(&["FLUSHALL"]);
    // The comparison comes at its own time; a write elsewhere would bring it at once.
    for gateway in &world.gateways {
        gateway.until_store("the store is refused", |store| !store["alarm"].is_null()).await;
        assert_eq!(gateway.ask("GET", "/readyz", None).await.0, 200);
    }
    let (status, answer) = world.gateways[1].set_canary(10, "").await;
    assert_eq!(status, 503);
    assert!(answer["detail"].as_str().unwrap().contains("store reseed"), "{answer}");

    // A newcomer with a seed does not take the emptied store for one that never held anything.
    let seed = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(seed.path(), r#"[{ "key": "canary", "name": "Canary", "default_value": true }]"#).unwrap();
    let (port, path) = (world.redis.port, seed.path().display());
    world.redis.wait_until(|redis| redis.ask(&["HLEN", "flaggate:gateways"]) == "2");
    let section = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\nseed = \"{path}\"");
    let newcomer = Gateway::start(world.upstreams, &section, "").await;
    newcomer.until_store("it follows", |store| store["store_up"] == true).await;
    assert_eq!(newcomer.client().get("ann").await.as_deref(), Some("stable"));

    let admin = format!("http://{}", world.gateways[0].admin);
    let flaggate = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_flaggate")).args(arguments).args(["--admin", &admin]).output();
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    assert!(flaggate(&["status"]).1.contains("REFUSED: empty"), "{}", flaggate(&["status"]).1);
    let (done, told) = flaggate(&["store", "reseed"]);
    assert!(done && told.starts_with("1 documents were written back"), "{told}");
    for gateway in &world.gateways {
        gateway.until_store("all is well", |store| store["alarm"].is_null() && store["store_up"] == true).await;
    }
    let (again, told) = flaggate(&["store", "reseed"]);
    assert!(!again && told.contains("409"), "{told}");
    let asked = load.end().await;
    assert_eq!((asked.failed, asked.flipped), (0, 0), "of {}", asked.micros.len());
    assert_eq!(world.gateways[1].set_canary(100, "?wait=all").await.0, 200);
    assert_eq!(world.reached().await, all("canary", 2));
    assert_eq!(newcomer.client().get("ann").await.as_deref(), Some("canary"));
    let told = flaggate(&["status"]).1;
    assert!(told.starts_with("store     up at ") && told.matches("live").count() == 3, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_gateway_starts_from_its_backup() {
    let mut world = World::start(1).await;
    world.gateways[0].set_canary(100, "?wait=all").await;
    world.gateways[0].stop().await;
    world.redis.kill();
    world.gateways[0].resume().await;
    assert_eq!(world.reached().await, all("canary", 1));
    assert_eq!(world.gateways[0].ask("GET", "/readyz", None).await.0, 200);
    world.redis.resume();
    let gateway = &world.gateways[0];
    gateway.until_store("the store is loaded", |store| store["from_backup"] == false).await;
    assert_eq!(gateway.set_canary(0, "?wait=all").await.0, 200);
    assert_eq!(world.reached().await, all("stable", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_and_without_a_backup_a_gateway_waits() {
    let mut world = World::start(1).await;
    world.gateways[0].set_canary(100, "?wait=all").await;
    world.gateways[0].kill();
    world.gateways[0].lose_backup();
    world.redis.kill();
    world.gateways[0].resume().await;
    assert_eq!(world.gateways[0].ask("GET", "/readyz", None).await.0, 503);
    assert_eq!(world.reached().await, all("stable", 1), "a flag that is not known sends nobody anywhere");
    world.redis.resume();
    let gateway = &world.gateways[0];
    until("it is ready", async || gateway.ask("GET", "/readyz", None).await.0 == 200).await;
    assert_eq!(world.reached().await, all("canary", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_of_a_user_decides_at_every_gateway() {
    let world = World::start(2).await;
    let rule = json!({ "attribute": "plan", "operator": "equals", "value": "pro" });
    let body = json!({ "targeting_enabled": true, "targeting_rules": [rule] });
    let (status, answer) = world.gateways[0].ask("PATCH", "/flags/canary?wait=all", Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(world.reached().await, all("stable", 2));
    // As a program does that writes profiles and tells who changed.
    world.redis.ask(&["HSET", "user_profile:ann", "attributes", r#"{"plan": "pro"}"#]);
    assert_eq!(world.redis.ask(&["PUBLISH", "flaggate:users", "ann"]), "2", "both gateways listen");
    until("both gateways look her up", async || world.reached().await == all("canary", 2)).await;
    let asked = json!({ "user_id": "ann" });
    let (_, answer) = world.gateways[1].ask("POST", "/flags/canary/evaluate", Some(asked)).await;
    assert_eq!((&answer["value"], &answer["reason"]), (&json!(true), &json!("targeting_match")), "{answer}");

    // Who is asked to write it goes by it from the next request on, the other one as soon as it is told.
    for (method, path, body, expected) in [
        ("PUT", "/profiles/ann", json!({ "attributes": { "plan": "free" } }), "stable"),
        ("PATCH", "/profiles/ann", json!({ "attributes": { "plan": "pro" } }), "canary"),
        ("DELETE", "/profiles/ann", json!({}), "stable"),
        ("POST", "/profiles:batch", json!({ "user_id": "ann", "attributes": { "plan": "pro" } }), "canary"),
    ] {
        let sent = reqwest::Client::new()
            .request(method.parse().unwrap(), format!("http://{}{path}", world.gateways[0].admin))
            .header("content-type", if path == "/profiles:batch" { "application/x-ndjson" } else { "application/json" })
            .body(body.to_string());
        let answer = sent.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{method} {path}");
        answer.bytes().await.unwrap();
        assert_eq!(world.gateways[0].client().get("ann").await.as_deref(), Some(expected), "{method} {path}");
        until("the other gateway is told", async || world.reached().await == all(expected, 2)).await;
    }
}
