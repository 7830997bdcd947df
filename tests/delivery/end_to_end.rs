//! Whole deployments over two gateways, one Redis and real upstreams.

use std::sync::atomic::Ordering::Relaxed;

use flaggate::clock;
use serde_json::{Value, json};

use crate::{
    gateway::{Gateway, Upstream, Users},
    server::Server,
};

/// A world of two gateways.
struct World {
    redis: Server,
    gateways: [Gateway; 2],
    blue: Upstream,
    green: Upstream,
    canary: Upstream,
}

async fn world() -> World {
    let redis = Server::start(&[]);
    let (stable, canary, blue, green) =
        (Upstream::start().await, Upstream::start().await, Upstream::start().await, Upstream::start().await);
    let upstreams = [("stable", &stable), ("canary", &canary), ("blue", &blue), ("green", &green)];
    let gateways =
        [Gateway::start("g1", redis.port, &upstreams).await, Gateway::start("g2", redis.port, &upstreams).await];
    gateways[0].fill().await;
    World { redis, gateways, blue, green, canary }
}

/// Three stages in some seconds.
fn three_stages() -> Value {
    let analysis = json!({ "interval": "1s", "initial_delay": "0s", "min_requests": 20, "min_users": 5, "alpha": 0.01,
        "metrics": [{ "name": "error_rate", "max_ratio": 1.5, "max_absolute": 0.1 }], "deadline": "40s" });
    json!({ "id": "shop-2", "name": "The shop", "version": "2.0.0", "max_duration_hours": 1, "stages": [
        { "name": "switch", "strategy": "blue_green",
          "config": { "route": "shop", "smoke_tests": [{ "path": "/healthz", "expected_status": 200 }], "bake": "500ms" } },
        { "name": "feature", "strategy": "feature_flag", "dependencies": ["switch"],
          "config": { "flag_key": "feature", "rollout_stages": [{ "percentage": 20, "duration": "500ms" }, { "percentage": 100 }] },
          "gates": [{ "type": "manual", "required_approvers": ["anonymous"] }] },
        { "name": "canary", "strategy": "canary", "dependencies": ["feature"],
          "config": { "route": "shop", "analysis": analysis,
            "steps": [{ "set_weight": 20 }, { "analysis": "2s" }, { "set_weight": 50 }, { "analysis": "2s" }, { "set_weight": 100 }] } },
    ] })
}

fn state(status: &Value, state: &str) -> bool {
    status["state"] == state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_stages_run_to_their_end() {
    let world = world().await;
    let [one, two] = &world.gateways;
    let users = Users::start(&[one, two], 400, 200);
    one.post("/deployments", &three_stages()).await;
    // The second that touches the same is refused, with the name of the first.
    one.post("/deployments/shop-2/start?wait=all", &Value::Null).await;
    let second = json!({ "id": "second", "name": "s", "stages": [
        { "name": "s", "strategy": "feature_flag", "config": { "flag_key": "feature", "rollout_stages": [{ "percentage": 1 }] } }] });
    let (status, refused) = two.send("POST", "/deployments", &second).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("shop-2"), "{refused}");
    let (_, took) = one.until("shop-2", |status| status["stages"][1]["state"] == "validating").await;
    println!("at the gate after {took:?}");
    assert_eq!(two.get("/flags/shop-side").await["default_value"], "green");
    let (status, answer) = two.send("DELETE", "/deployments/shop-2", &Value::Null).await;
    assert_eq!(status, 409, "{answer}");
    two.post("/deployments/shop-2/approve", &Value::Null).await;
    let (status, took) = two.until("shop-2", |status| state(status, "completed") || state(status, "rolled_back")).await;
    println!("ended after {took:?} more");
    assert!(state(&status, "completed"), "{status:#}");
    assert_eq!((one.percentage("feature").await, one.percentage("shop-canary").await), (100.0, 100.0));
    users.stop().await;
    // Each step was done once, by one conductor.
    let percentages = shares(one, "shop-canary").await;
    assert_eq!(percentages, [20.0, 50.0, 100.0]);
    let metrics = one.text("/metrics").await;
    assert!(
        metrics.contains("flaggate_deployment_stage{deployment=\"shop-2\",stage=\"canary\",state=\"completed\"} 1"),
        "{metrics}"
    );
    assert_eq!(one.send("DELETE", "/deployments/shop-2", &Value::Null).await.0, 200);
    assert!(world.green.asked.load(Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_canary_is_rolled_back_with_all_before_it() {
    let world = world().await;
    let [one, two] = &world.gateways;
    let users = Users::start(&[one, two], 400, 200);
    let mut document = three_stages();
    document["stages"][1].as_object_mut().unwrap().remove("gates");
    // It waits long enough for the errors to come in between.
    document["stages"][2]["config"]["steps"] = json!([{ "set_weight": 30 }, { "pause": "30s" }, { "set_weight": 100 }]);
    one.post("/deployments", &document).await;
    two.post("/deployments/shop-2/start", &Value::Null).await;
    one.until("shop-2", |status| status["stages"][2]["doing"] == "wait 30s").await;
    world.canary.failing.store(300, Relaxed);
    let began = clock::monotonic();
    let (status, _) = one.until("shop-2", |status| state(status, "rolled_back") || state(status, "completed")).await;
    let took = clock::monotonic() - began;
    println!("rolled back after {took:?}: {}", status["reason"]);
    assert!(state(&status, "rolled_back"), "{status:#}");
    assert!(took.as_secs() < 10, "{took:?}");
    // No user is left on the bad side: both gateways serve what was before.
    for gateway in [one, two] {
        assert_eq!(gateway.get("/flags/shop-side").await["default_value"], "blue");
        assert_eq!((gateway.percentage("shop-canary").await, gateway.percentage("feature").await), (0.0, 0.0));
    }
    let asked = [&world.canary, &world.blue].map(|upstream| upstream.asked.load(Relaxed));
    let began = clock::monotonic();
    while world.blue.asked.load(Relaxed) < asked[1] + 100 {
        assert!(clock::monotonic() - began < crate::gateway::PATIENCE, "nobody asks any more");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(world.canary.asked.load(Relaxed), asked[0], "a user still gets the canary");
    let stages: Vec<&Value> = status["stages"].as_array().unwrap().iter().map(|stage| &stage["state"]).collect();
    assert_eq!(stages, ["rolled_back"; 3]);
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_needs_no_conductor() {
    let mut world = world().await;
    let [one, two] = &mut world.gateways;
    let document = json!({ "id": "f", "name": "f", "stages": [{ "name": "s", "strategy": "feature_flag",
        "config": { "flag_key": "feature", "rollout_stages": [{ "percentage": 40, "duration": "1h" }, { "percentage": 100 }] } }] });
    one.post("/deployments", &document).await;
    one.post("/deployments/f/start", &Value::Null).await;
    one.until("f", |status| status["stages"][0]["doing"] == "wait 1h").await;
    let leader = Gateway::holder(&world.redis);
    let (dead, alive) = if leader == one.id("g1").await { (one, two) } else { (two, one) };
    dead.kill();
    let began = clock::monotonic();
    alive.post("/deployments/f/abort", &json!({ "reason": "no" })).await;
    while alive.percentage("feature").await > 0.0 {
        assert!(clock::monotonic() - began < crate::gateway::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let took = clock::monotonic() - began;
    println!("without a conductor the flag is back after {took:?}");
    assert!(took.as_millis() < 3_000, "{took:?}");
    // The dead gateway counts as live for a while, and then no more.
    alive.until("f", |status| state(status, "rolled_back")).await;
}

/// The shares that the conductor set a flag to, in order.
pub(crate) async fn shares(gateway: &Gateway, flag: &str) -> Vec<f64> {
    let mut shares = Vec::new();
    let mut path = format!("/flags/{flag}/history?full=true&limit=200");
    loop {
        let page = gateway.get(&path).await;
        for entry in page["entries"].as_array().unwrap().iter().filter(|entry| entry["actor"] == "conductor") {
            shares.push(entry["document"]["rollout_percentage"].as_f64().unwrap());
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/flags/{flag}/history?full=true&limit=200&cursor={next}"),
            None => break,
        }
    }
    shares.reverse();
    shares
}
