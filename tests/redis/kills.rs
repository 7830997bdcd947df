//! How fast a kill is: from the call to the last request on the killed side, over three gateways and one Redis, in quiet and
//! in a storm of other writes. More rounds with `FLAGGATE_MEASURE=full`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use flaggate::{
    clock,
    model::DocumentKey,
    store::{Expected, RedisStore, Store, Write},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    replicas::{Gateway, until, upstream},
    server::Server,
};

/// Requests to the canary: when each was sent.
type Sent = JoinHandle<Vec<Instant>>;

/// A user of each gateway who keeps asking until told to stop.
fn keep_asking(gateways: &[Gateway], stop: &Arc<AtomicBool>) -> Vec<Sent> {
    let ask = |gateway: &Gateway| {
        let (mut client, stop) = (gateway.client(), Arc::clone(stop));
        tokio::spawn(async move {
            let mut killed_side = Vec::new();
            while !stop.load(Relaxed) {
                let sent = clock::monotonic();
                if client.get("ann").await.as_deref() == Some("canary") {
                    killed_side.push(sent);
                }
                sleep(Duration::from_micros(200)).await;
            }
            killed_side
        })
    };
    gateways.iter().map(ask).collect()
}

fn flag(key: &str, value: u64) -> Write {
    let flag = json!({ "key": key, "name": key, "rollout_enabled": true, "rollout_percentage": value % 101 });
    Write {
        document: DocumentKey::flag(key),
        text: Some(flag.to_string().into()),
        expected: Expected::Any,
        actor: "storm".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        fence: None,
    }
}

/// Writes flags, one after the other, as fast as asked, until told to stop; says how many.
fn storm(store: Arc<RedisStore>, pause: Duration, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut written = 0;
        while !stop.load(Relaxed) {
            store.write(flag(&format!("flag-{}", written % 50), written)).await.unwrap();
            written += 1;
            sleep(pause).await;
        }
        written
    })
}

struct World {
    redis: Server,
    gateways: Vec<Gateway>,
    client: reqwest::Client,
}

impl World {
    async fn start() -> Self {
        let redis = Server::start(&[]);
        let upstreams = [upstream("stable").await, upstream("canary").await];
        let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"", redis.port);
        let mut gateways = Vec::new();
        for _ in 0..3 {
            gateways.push(Gateway::start(upstreams, &store, "").await);
        }
        for gateway in &gateways {
            gateway.until_store("the store answers", |store| store["store_up"] == true).await;
        }
        RedisStore::new(redis.config()).write(flag("canary", 100)).await.unwrap();
        let world = Self { redis, gateways, client: reqwest::Client::new() };
        for gateway in &world.gateways {
            until("it goes to the canary", async || gateway.client().get("ann").await.as_deref() == Some("canary"))
                .await;
        }
        world
    }

    async fn post(&self, gateway: usize, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("http://{}{path}", self.gateways[gateway].admin);
        let answer = self.client.post(url).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Kills and lifts; gives for each kill how long after the call the last request was sent that reached the killed side,
    /// and what the answer said it took, in milliseconds.
    async fn kill(&self, rounds: usize, target: &Value) -> Vec<(f64, f64)> {
        let mut took = Vec::new();
        let mut body = target.clone();
        body["reason"] = "measured".into();
        for round in 0..rounds {
            let stop = Arc::new(AtomicBool::new(false));
            let users = keep_asking(&self.gateways, &stop);
            sleep(Duration::from_millis(20)).await;
            let called = clock::monotonic();
            let (status, answer) = self.post(round % 3, "/kill", &body).await;
            assert_eq!(
                (status, &answer["acknowledged"], &answer["of"]),
                (200, &json!(3), &json!(3)),
                "all applied it: {answer}"
            );
            let answered = clock::monotonic();
            sleep(Duration::from_millis(20)).await;
            stop.store(true, Relaxed);
            let mut last = Duration::ZERO;
            for user in users {
                let sent = user.await.unwrap();
                assert!(sent.first().is_some_and(|first| *first < called), "the user was there before");
                assert!(sent.iter().all(|sent| *sent < answered), "after the answer nobody is on the killed side");
                last = last.max(sent.last().map_or(Duration::ZERO, |sent| sent.saturating_duration_since(called)));
            }
            took.push((last.as_secs_f64() * 1000.0, answer["ms"].as_f64().unwrap()));
            let (status, answer) = self.post((round + 1) % 3, "/kill/lift", target).await;
            assert_eq!((status, answer["lifted"].as_array().map(Vec::len)), (200, Some(1)), "{answer}");
        }
        took
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn told(what: &str, took: &[(f64, f64)]) -> f64 {
    let sorted = |of: fn(&(f64, f64)) -> f64| {
        let mut times: Vec<f64> = took.iter().map(of).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let quantile = |times: &[f64], share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let (last, answer) = (sorted(|(last, _)| *last), sorted(|(_, answer)| *answer));
    println!(
        "| {what}, {} kills: call → last request on the killed side of 3 gateways | p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms |",
        took.len(),
        quantile(&last, 0.5),
        quantile(&last, 0.99),
        quantile(&last, 1.0),
    );
    println!(
        "| the answer: 3 of 3 applied it | p50 {:.2} ms, p99 {:.2} ms |",
        quantile(&answer, 0.5),
        quantile(&answer, 0.99)
    );
    quantile(&last, 0.99)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_stops_the_last_request_at_every_gateway() {
    let rounds = if std::env::var("FLAGGATE_MEASURE").is_ok_and(|size| size == "full") { 300 } else { 10 };
    let world = World::start().await;
    world.kill(3, &json!({ "flags": ["canary"] })).await;
    let of_flag = told("a flag is killed", &world.kill(rounds, &json!({ "flags": ["canary"] })).await);
    let of_service = told("an upstream is killed", &world.kill(rounds, &json!({ "service": "canary" })).await);
    let store = Arc::new(RedisStore::new(world.redis.config()));
    let stop = Arc::new(AtomicBool::new(false));
    let storming = storm(store, Duration::from_millis(1), Arc::clone(&stop));
    sleep(Duration::from_millis(200)).await;
    let in_storm =
        told("a flag is killed in a storm of writes", &world.kill(rounds, &json!({ "flags": ["canary"] })).await);
    stop.store(true, Relaxed);
    assert!(storming.await.unwrap() > 50);
    // Never close, as the machine may be busy: the figures above are what is promised.
    for last in [of_flag, of_service, in_storm] {
        assert!(last < 500.0, "{last} ms");
    }
}
