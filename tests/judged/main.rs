//! Deployments that are judged on the gateways' own traffic: three gateways of the real binary, one Redis, upstreams that
//! can be broken.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../redis/server.rs"]
#[expect(dead_code, reason = "sentinels and clusters are tested elsewhere")]
mod server;

#[path = "../support/prometheus.rs"]
mod prometheus;

mod load;
mod world;

use std::time::Duration;

use flaggate::clock;
use serde_json::{Value, json};

use load::Load;
use prometheus::Prometheus;
use server::free_port;
use world::World;

/// Both strategies of the route and the feature, one after the other, then the canary with half of the users.
fn three_stages(analysis: &str, metrics: &Value) -> Value {
    json!({
        "id": "checkout", "name": "New checkout", "version": "2",
        "stages": [
            { "name": "backend", "strategy": "blue_green",
              "config": { "route": "shop", "to": "green", "smoke_tests": [{ "path": "/healthz", "expected_status": 200 }], "bake": "1s" } },
            { "name": "feature", "strategy": "feature_flag", "dependencies": ["backend"],
              "config": { "flag_key": "one-click", "rollout_stages": [{ "percentage": 20, "duration": "1s" }] } },
            { "name": "canary", "strategy": "canary", "dependencies": ["feature"],
              "config": { "route": "shop", "steps": [{ "set_weight": 20 }, { "pause": "1s" }, { "set_weight": 50 }, { "analysis": analysis }, { "set_weight": 100 }],
                "analysis": { "interval": "1s", "initial_delay": "0s", "min_requests": 100, "min_users": 20, "metrics": metrics, "deadline": "5m" } } },
        ],
    })
}

fn error_rate() -> Value {
    json!([{ "name": "error_rate", "max_ratio": 1.5, "max_absolute": 0.5 }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_worse_is_delivered() {
    let world = World::start().await;
    world.fails("blue", 0.005);
    world.fails("green", 0.005);
    world.fails("canary", 0.005);
    let load = Load::start(&world, 300);
    world.deploy(three_stages("3s", &error_rate())).await;
    let status = world.until_ended().await;
    assert_eq!(status["state"], "completed", "{status:#}");
    assert_eq!(world.flag("canary").await["rollout_percentage"], 100.0);
    let met = load.end().await;
    assert_eq!(met.lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_errors_are_rolled_back() {
    let world = World::start().await;
    let before = [world.flag("canary").await, world.flag("one-click").await, world.flag("color").await];
    for upstream in ["blue", "green", "canary"] {
        world.fails(upstream, 0.005);
    }
    let load = Load::start(&world, 300);
    world.deploy(three_stages("2m", &error_rate())).await;
    world.until("half of the users have the canary", |status| status["stages"][2]["step"] == 3).await;
    let broken = clock::monotonic();
    world.fails("canary", 0.05);
    let status = world.until_ended().await;
    let rolled_back = clock::monotonic();
    assert_eq!(status["state"], "rolled_back", "{status:#}");
    // The bad second may have begun just before.
    let took = rolled_back - broken;
    println!("5 % errors against 0.5 % at 300 requests/s: rolled back after {took:.1?}: {}", status["reason"]);
    assert!(took < Duration::from_secs(20), "{took:?}");

    tokio::time::sleep(Duration::from_millis(500)).await;
    let met = load.end().await;
    let late = met.answered.iter().filter(|answer| answer.began > rolled_back);
    let wrong: Vec<_> = late.clone().filter(|answer| answer.upstream != "blue").collect();
    assert!(late.count() > 50 && wrong.is_empty(), "{wrong:?}");
    assert_eq!(met.lost, 0);

    let undone = world.written_flags().await;
    assert_eq!(undone[..3], ["color", "one-click", "canary"], "the newest first, so the canary was undone first");
    let after = [world.flag("canary").await, world.flag("one-click").await, world.flag("color").await];
    for (before, after) in before.iter().zip(&after) {
        for field in ["enabled", "rollout_enabled", "rollout_percentage", "default_value", "split"] {
            assert_eq!(before[field], after[field], "{field} of {}", before["key"]);
        }
    }
}

/// Copies first, then one user in five, in two, everybody: from one stage of the document.
fn progressive() -> Value {
    json!({
        "id": "checkout", "name": "New checkout", "version": "2",
        "stages": [
            { "name": "rollout", "strategy": "progressive",
              "config": { "route": "shop", "shadow": "3s", "initial_weight": 20, "increment": 40, "interval_seconds": 2,
                "thresholds": { "error_rate": 5.0, "window": "10s", "min_requests": 50 } } },
        ],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_come_before_users() {
    let world = World::start().await;
    let load = Load::start(&world, 300);
    world.deploy(progressive()).await;
    let status = world.until_ended().await;
    assert_eq!(status["state"], "completed", "{status:#}");
    assert_eq!(world.flag("canary").await["rollout_percentage"], 100.0);
    assert_eq!(world.flag("copies").await["rollout_enabled"], false, "no more copies, as before");
    let met = load.end().await;
    assert!(met.lost == 0 && met.answered.iter().all(|answer| answer.upstream != "shadow"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_that_fail_reach_no_user() {
    let world = World::start().await;
    world.fails("shadow", 0.2);
    let load = Load::start(&world, 300);
    world.deploy(progressive()).await;
    let status = world.until_ended().await;
    assert_eq!(status["state"], "rolled_back", "{status:#}");
    println!("copies that fail: {}", status["reason"]);
    let met = load.end().await;
    assert_eq!(met.lost, 0);
    let upstreams: std::collections::BTreeSet<_> = met.answered.iter().map(|answer| answer.upstream.as_str()).collect();
    assert_eq!(upstreams, ["blue"].into(), "nobody met the canary or the shadow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_asks_a_prometheus() {
    let address = ([127, 0, 0, 1], free_port()).into();
    let world = World::start_with(&format!("[outbound]\nallow = [\"{address}\"]\n")).await;
    let prometheus = Prometheus::start(address, &world.admins());
    let load = Load::start(&world, 100);
    let query = json!({ "prometheus": prometheus.url(), "expr": "sum(flaggate_requests_total{upstream=\"canary\"})", "min": 10 });
    let deployment = |version: &str| {
        json!({
            "id": "checkout", "name": "New checkout", "version": version,
            "stages": [
                { "name": "canary", "strategy": "canary", "config": { "route": "shop", "steps": [{ "set_weight": 20 }] },
                  "gates": [{ "type": "metric_based", "query": query, "timeout_minutes": if version == "2" { 1.0 } else { 0.05 } }] },
            ],
        })
    };
    world.deploy(deployment("2")).await;
    let status = world.until_ended().await;
    assert_eq!(status["state"], "completed", "{status:#} {}", prometheus.log());

    // The same again, and nobody answers.
    drop(prometheus);
    world.set_flag("canary", json!({ "rollout_enabled": false, "rollout_percentage": 0 })).await;
    world.redeploy(deployment("3")).await;
    let status = world.until_ended().await;
    assert_eq!(status["state"], "rolled_back", "{status:#}");
    println!("without a Prometheus: {}", status["reason"]);
    assert_eq!(world.flag("canary").await["rollout_enabled"], false);
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slower_answers_are_rolled_back() {
    let world = World::start().await;
    let load = Load::start(&world, 300);
    for upstream in ["blue", "green", "canary"] {
        world.delays(upstream, Duration::from_millis(60));
    }
    world.deploy(three_stages("2m", &json!([{ "name": "latency", "quantile": 0.95, "max_ratio": 1.2 }]))).await;
    world.until("half of the users have the canary", |status| status["stages"][2]["step"] == 3).await;
    world
        .until("the quantile is taken", |status| status["stages"][2]["verdict"]["figures"]["metrics"] != json!([]))
        .await;
    let broken = clock::monotonic();
    world.delays("canary", Duration::from_millis(75));
    let status = world.until_ended().await;
    let took = clock::monotonic() - broken;
    assert_eq!(status["state"], "rolled_back", "{status:#}");
    println!("60 ms become 75 ms at 300 requests/s: rolled back after {took:.1?}: {}", status["reason"]);
    load.end().await;
}
