//! The conductor is stopped and killed, again and again. `FLAGGATE_CYCLES` says how often.

use std::{env, time::Duration};

use flaggate::clock;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    end_to_end::shares,
    gateway::{Gateway, PATIENCE, Upstream},
    server::Server,
};

/// The lease, and what a takeover may take beyond it.
const TAKEOVER: Duration = Duration::from_secs(5 + 2);

/// How many steps a second there are, about.
const STEP: &str = "200ms";

fn cycles(usual: usize) -> usize {
    env::var("FLAGGATE_CYCLES").ok().and_then(|cycles| cycles.parse().ok()).unwrap_or(usual)
}

async fn gateways(redis: &Server, names: &[&str]) -> Vec<Gateway> {
    let upstream = Upstream::start().await;
    let upstreams = ["stable", "canary", "blue", "green"].map(|name| (name, &upstream));
    let mut gateways = Vec::new();
    for name in names {
        gateways.push(Gateway::start(name, redis.port, &upstreams).await);
    }
    gateways[0].fill().await;
    gateways
}

/// A canary of very many small steps.
fn steps(many: usize) -> (Value, Vec<f64>) {
    let weights: Vec<f64> =
        (1..=many).map(|step| (step as f64 * 100.0 / many as f64 * 100.0).round() / 100.0).collect();
    let steps: Vec<Value> =
        weights.iter().flat_map(|weight| [json!({ "set_weight": weight }), json!({ "pause": STEP })]).collect();
    let document = json!({ "id": "steps", "name": "Steps", "stages": [
        { "name": "canary", "strategy": "canary", "config": { "route": "shop", "steps": steps } }] });
    (document, weights)
}

/// The position of the gateway that has the lease.
async fn leader(redis: &Server, gateways: &[Gateway], names: &[&str]) -> usize {
    let began = clock::monotonic();
    loop {
        let holder = Gateway::holder(redis);
        for (position, name) in names.iter().enumerate() {
            if gateways[position].id(name).await == holder {
                return position;
            }
        }
        assert!(clock::monotonic() - began < PATIENCE, "nobody leads: {holder:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What was set so far.
async fn progress(redis: &Server) -> usize {
    let text = redis.ask(&["HGET", "deployment:steps", "document"]);
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    document["status"]["stages"][0]["step"].as_u64().unwrap_or(0) as usize
}

async fn moves_on(redis: &Server, from: usize) -> Duration {
    let began = clock::monotonic();
    while progress(redis).await <= from {
        assert!(clock::monotonic() - began < PATIENCE, "it does not go on from step {from}");
        sleep(Duration::from_millis(10)).await;
    }
    clock::monotonic() - began
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_stopped_does_nothing_twice() {
    let cycles = cycles(10);
    let (redis, names) = (Server::start(&[]), ["g1", "g2", "g3"]);
    let gateways = gateways(&redis, &names).await;
    let (document, weights) = steps(20 + cycles * 16);
    gateways[0].post("/deployments", &document).await;
    gateways[0].post("/deployments/steps/start", &Value::Null).await;
    let mut slowest = Duration::ZERO;
    for cycle in 0..cycles {
        moves_on(&redis, progress(&redis).await).await;
        let stopped = leader(&redis, &gateways, &names).await;
        gateways[stopped].signal("STOP");
        let at = progress(&redis).await;
        // The one step that may have been on its way does not count.
        let took = moves_on(&redis, at + 1).await;
        slowest = slowest.max(took);
        assert!(took < TAKEOVER, "cycle {cycle}: {took:?}");
        gateways[stopped].signal("CONT");
    }
    println!("{cycles} cycles, the slowest takeover took {slowest:?}");
    finish(&gateways[0], &weights).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_leaves_no_step_out() {
    let cycles = cycles(10);
    let (redis, names) = (Server::start(&[]), ["g1", "g2", "g3"]);
    let mut gateways = gateways(&redis, &names).await;
    let (document, weights) = steps(20 + cycles * 16);
    gateways[0].post("/deployments", &document).await;
    gateways[0].post("/deployments/steps/start", &Value::Null).await;
    let mut slowest = Duration::ZERO;
    for cycle in 0..cycles {
        moves_on(&redis, progress(&redis).await).await;
        let killed = leader(&redis, &gateways, &names).await;
        // At another moment within a step each time.
        sleep(Duration::from_micros(cycle as u64 * 7_919 % 200_000)).await;
        gateways[killed].kill();
        let at = progress(&redis).await;
        let took = moves_on(&redis, at).await;
        slowest = slowest.max(took);
        assert!(took < TAKEOVER, "cycle {cycle}: {took:?}");
        assert!(gateways[killed].run().await, "{}", gateways[killed].log());
    }
    println!("{cycles} cycles, the slowest takeover took {slowest:?}");
    finish(&gateways[0], &weights).await;
}

/// All that is left, faster; then each share was set once, in order.
async fn finish(gateway: &Gateway, weights: &[f64]) {
    gateway.until("steps", |status| status["state"] == "completed").await;
    assert_eq!(shares(gateway, "shop-canary").await, weights);
}
