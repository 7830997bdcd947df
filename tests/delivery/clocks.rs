//! Gateways whose clocks on the wall are an hour off, one in each direction, run a deployment by turns.

use std::time::{Duration, Instant};

use flaggate::{
    clock,
    store::{CounterStore as _, RedisStore},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    gateway::{Gateway, PATIENCE, Upstream},
    server::Server,
};

/// How much later than it has to something may happen: a takeover, and some looks.
const LATE: Duration = Duration::from_secs(5 + 2 + 2);

/// The environment of a process whose clock is wrong; its monotonic clock is not.
fn skewed(by: &str) -> Vec<(&'static str, String)> {
    // The linker knows what `$LIB` is on this machine.
    [("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1"), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
}

/// What is stored of the deployment, and when it was seen so.
struct Seen<'w> {
    redis: &'w Server,
    /// When each step of each stage was first seen to have begun.
    steps: Vec<((usize, u64), Instant)>,
}

impl Seen<'_> {
    /// Looks until a stage is at a step, or behind it.
    async fn until(&mut self, stage: usize, step: u64) -> Instant {
        let began = clock::monotonic();
        loop {
            let text = self.redis.ask(&["HGET", "deployment:timed", "document"]);
            let status = serde_json::from_str::<Value>(&text).unwrap()["status"].take();
            let now = clock::monotonic();
            for (position, stage) in status["stages"].as_array().into_iter().flatten().enumerate() {
                let at = (position, stage["step"].as_u64().unwrap_or(0));
                if !stage["order"].is_null() && self.steps.iter().all(|(known, _)| *known != at) {
                    self.steps.push((at, now));
                }
            }
            if let Some((_, at)) = self.steps.iter().find(|((at, by), _)| *at == stage && *by >= step) {
                return *at;
            }
            assert!(now - began < PATIENCE, "stage {stage} does not come to step {step}: {status:#}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// A step took at least its time, and not much longer.
    async fn took(&mut self, (stage, step): (usize, u64), time: Duration, what: &str) -> Duration {
        let began = self.until(stage, step).await;
        let took = self.until(stage, step + 1).await - began;
        // The step is seen to begin a moment after it has.
        assert!(took + Duration::from_millis(300) >= time, "{what} took {took:?}: too early");
        assert!(took <= time + LATE, "{what} took {took:?}: too late");
        took
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_promoted_early_by_a_clock_that_is_an_hour_off() {
    let (redis, upstream) = (Server::start(&[]), Upstream::start().await);
    let upstreams = ["stable", "canary", "blue", "green"].map(|name| (name, &upstream));
    let gateway = async |name: &str, by: &str| Gateway::start_with(name, redis.port, &upstreams, "", skewed(by)).await;
    let mut ahead = gateway("ahead", "+3600s").await;
    ahead.fill().await;
    let store = RedisStore::new(redis.config());
    let scheduled = store.now().await.unwrap() + Duration::from_secs(24);
    let at = clock::monotonic() + Duration::from_secs(24);
    let document = json!({ "id": "timed", "name": "Timed", "stages": [
        { "name": "bake", "strategy": "blue_green", "config": { "route": "shop", "bake": "4s" } },
        { "name": "canary", "strategy": "canary", "config": { "route": "shop", "steps": [
            { "set_weight": 10 }, { "pause": "4s" }, { "set_weight": 20 }, { "pause": "6s" }, { "set_weight": 30 }] },
          "gates": [{ "type": "automatic", "after": "3s" }] },
        { "name": "feature", "strategy": "feature_flag",
          "config": { "flag_key": "feature", "rollout_stages": [{ "percentage": 100 }] },
          "gates": [{ "type": "scheduled", "schedule_time": scheduled.to_string() }] },
    ] });
    ahead.post("/deployments", &document).await;
    ahead.post("/deployments/timed/start", &Value::Null).await;
    let (mut seen, mut took) = (Seen { redis: &redis, steps: Vec::new() }, Vec::new());

    // The one that is ahead leads, alone, and dies while the canary waits.
    took.push(seen.took((0, 2), Duration::from_secs(4), "the bake").await);
    seen.until(1, 1).await;
    let mut behind = gateway("behind", "-3600s").await;
    ahead.kill();
    took.push(seen.took((1, 1), Duration::from_secs(4), "the first pause").await);
    // The other one goes on, and dies as well.
    seen.until(1, 3).await;
    assert!(ahead.run().await, "{}", ahead.log());
    behind.kill();
    took.push(seen.took((1, 3), Duration::from_secs(6), "the second pause").await);
    took.push(seen.took((1, 5), Duration::from_secs(3), "the automatic gate").await);
    println!("4 s, 4 s, 6 s and 3 s took {took:?}");
    // Nothing begins before its time by the store's clock.
    let began = seen.until(2, 1).await;
    assert!(began >= at && began - at < LATE, "the scheduled stage began {:?} late", began - at);
    ahead.until("timed", |status| status["state"] == "completed").await;
    // The clocks were wrong indeed: an entry of the audit log has the time of the gateway that wrote it.
    for (path, by) in [("/flags/feature/history?limit=1", 3_600), ("/deployments/timed/history?limit=200", -3_600)] {
        let page = ahead.get(path).await;
        let entries = page["entries"].as_array().unwrap();
        let is_off = entries.iter().any(|entry| {
            let at: jiff::Timestamp = entry["at"].as_str().unwrap().parse().unwrap();
            (at.as_second() - clock::now().as_second() - by).abs() < 120
        });
        assert!(is_off, "no clock is {by} s off (scripts/setup test installs faketime)");
    }
}
