//! What the promises about Redis come to in figures. Small by default, as a guard that is never close; with
//! `FLAGGATE_MEASURE=full` in the sizes of `docs/operations.md`, whose table they print.

mod profiles;

use std::{sync::Arc, time::Duration};

use flaggate::{
    clock,
    model::DocumentKey,
    store::{Expected, RedisStore, Store, Write},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    poison::{EACH, poison},
    proxy::{Fault, Proxy},
    replicas::{Gateway, Load, PATIENCE, until, upstream},
    sentinel::Watched,
    server::Server,
};

fn full() -> bool {
    std::env::var("FLAGGATE_MEASURE").is_ok_and(|size| size == "full")
}

/// A row of the table.
#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn row(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}

/// A flag as people have them: a prerequisite, two rules, a percentage.
fn typical(number: usize) -> (String, Value) {
    let key = format!("flag-{number}");
    let rules = json!([
        { "attribute": "country", "operator": "in", "value": ["US", "CA", "MX"], "return_value": true },
        { "attribute": "plan", "operator": "equals", "value": "pro", "return_value": true },
    ]);
    let flag = json!({ "key": key, "name": key, "prerequisites": ["canary"], "targeting_enabled": true, "targeting_rules": rules,
        "rollout_enabled": true, "rollout_percentage": 50, "tags": ["checkout", "web"] });
    (key, flag)
}

fn put(key: &str, flag: &Value) -> Write {
    Write {
        document: DocumentKey::flag(key),
        text: Some(flag.to_string().into()),
        expected: Expected::Any,
        actor: "measured".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        fence: None,
    }
}

fn canary(percentage: usize) -> Value {
    json!({ "key": "canary", "name": "Canary", "rollout_enabled": true, "rollout_percentage": percentage })
}

/// A Redis with so many flags beside `canary`.
async fn filled(flags: usize) -> (Server, Arc<RedisStore>) {
    let redis = Server::start(&[]);
    let store = Arc::new(RedisStore::new(redis.config()));
    store.write(put("canary", &canary(0))).await.unwrap();
    for number in 0..flags {
        let (key, flag) = typical(number);
        store.write(put(&key, &flag)).await.unwrap();
    }
    (redis, store)
}

async fn gateways(port: u16, count: usize) -> Vec<Gateway> {
    gateways_of(&format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{port}\""), count).await
}

/// Gateways with this section `[store]`, all of which have loaded it.
async fn gateways_of(store: &str, count: usize) -> Vec<Gateway> {
    let upstreams = [upstream("stable").await, upstream("canary").await];
    let mut gateways = Vec::new();
    for _ in 0..count {
        let gateway = Gateway::start(upstreams, store, "").await;
        gateway
            .until_store("the store is loaded", |store| store["store_up"] == true && !store["applied"].is_null())
            .await;
        gateways.push(gateway);
    }
    gateways
}

async fn applied(gateway: &Gateway) -> u64 {
    gateway.ask("GET", "/diagnostics", None).await.1["store"]["applied"]["number"].as_u64().unwrap_or_default()
}

fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * quantile).round() as usize]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_every_gateway() {
    let (flags, rounds) = if full() { (10_000, 300) } else { (500, 20) };
    let (redis, _store) = filled(flags).await;
    let gateways = gateways(redis.port, 3).await;
    let mut clients: Vec<_> = gateways.iter().map(Gateway::client).collect();
    let (mut after_answer, mut after_send) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (percentage, expected) = if round % 2 == 0 { (100, "canary") } else { (0, "stable") };
        let sent = clock::monotonic();
        assert_eq!(gateways[round % 3].set_canary(percentage, "").await.0, 200);
        let answered = clock::monotonic();
        for client in &mut clients {
            while client.get("ann").await.as_deref() != Some(expected) {
                assert!(answered.elapsed() < Duration::from_secs(10), "round {round}");
            }
        }
        let now = clock::monotonic();
        after_answer.push((now - answered).as_secs_f64() * 1000.0);
        after_send.push((now - sent).as_secs_f64() * 1000.0);
    }
    after_answer.sort_by(f64::total_cmp);
    after_send.sort_by(f64::total_cmp);
    let told = |times: &[f64]| {
        format!(
            "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            quantile(times, 0.5),
            quantile(times, 0.99),
            times[times.len() - 1]
        )
    };
    row(
        &format!("write answered → the last of 3 gateways routes by it, {flags} flags, {rounds} writes"),
        &told(&after_answer),
    );
    row("the same from the sending of the write", &told(&after_send));
    assert!(quantile(&after_answer, 0.5) < 500.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_writes_ends_at_its_last_state() {
    let (seconds, rate) = if full() { (60, 1_000) } else { (2, 300) };
    let (redis, store) = filled(1_000).await;
    let gateways = gateways(redis.port, 2).await;
    let calm = Load::start(&gateways, 2, Duration::from_millis(5));
    sleep(Duration::from_secs(if full() { 10 } else { 1 })).await;
    let calm = calm.end().await;
    let load = Load::start(&gateways, 2, Duration::from_millis(5));
    let start = Instant::now();
    let mut last = 0;
    let mut writes = 0_u32;
    for number in 0..seconds * rate {
        sleep_until(start + Duration::from_micros(1_000_000 / rate * number)).await;
        let (key, flag) = typical(usize::try_from(number % 1_000).unwrap());
        last = store.write(put(&key, &flag)).await.unwrap().world.number;
        writes += 1;
    }
    let (ended, took) = (clock::monotonic(), start.elapsed());
    for gateway in &gateways {
        until("the last write is served", async || applied(gateway).await >= last).await;
    }
    let behind = ended.elapsed();
    let load = load.end().await;
    let rate = f64::from(writes) / took.as_secs_f64();
    row(
        &format!("{writes} writes at {rate:.0}/s: last write → served by both"),
        &format!("{:.0} ms", behind.as_secs_f64() * 1000.0),
    );
    let (before, during) = (calm.quantile_ms(0.99), load.quantile_ms(0.99));
    row(
        "proxy p99 before and during them",
        &format!("{before:.2} ms, {during:.2} ms ({} requests, {} failed)", load.micros.len(), load.failed),
    );
    assert_eq!(load.failed, 0);
    assert!(behind < Duration::from_secs(10), "{behind:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_gone_for_long() {
    let seconds = if full() { 600 } else { 2 };
    let mut redis = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = RedisStore::new(redis.config());
    store.write(put("canary", &canary(50))).await.unwrap();
    let gateways = gateways(redis.port, 2).await;
    let load = Load::start(&gateways, 4, Duration::from_millis(2));
    redis.kill();
    let killed = clock::monotonic();
    for gateway in &gateways {
        gateway.until_store("the loss is seen", |store| store["store_up"] == false).await;
    }
    let seen = killed.elapsed();
    sleep(Duration::from_secs(seconds)).await;
    redis.resume();
    let back = clock::monotonic();
    let store = RedisStore::new(redis.config());
    let last = store.write(put("canary", &canary(50))).await.unwrap().world.number;
    for gateway in &gateways {
        until("it is caught up with", async || applied(gateway).await >= last).await;
    }
    let caught_up = back.elapsed();
    let asked = load.end().await;
    row(
        &format!("Redis killed for {seconds} s under load"),
        &format!("{} requests, {} failed, {} flipped", asked.micros.len(), asked.failed, asked.flipped),
    );
    row("killed → both gateways say so", &format!("{:.0} ms", seen.as_secs_f64() * 1000.0));
    row("Redis back → a new write is served by both", &format!("{:.0} ms", caught_up.as_secs_f64() * 1000.0));
    assert_eq!((asked.failed, asked.flipped), (0, 0));
    assert!(caught_up < Duration::from_secs(5), "{caught_up:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_with_many_flags() {
    let flags = if full() { 10_000 } else { 1_000 };
    let (mut redis, _store) = filled(flags).await;
    let mut gateways = gateways(redis.port, 1).await;
    let gateway = &mut gateways[0];
    until("the backup is written", async || gateway.has_backup()).await;
    let memory = gateway.memory_mib();
    gateway.kill();
    let began = clock::monotonic();
    let listening = gateway.resume().await;
    gateway
        .until_store("the store is loaded", |store| store["store_up"] == true && store["from_backup"] == false)
        .await;
    let loaded = began.elapsed();
    gateway.kill();
    redis.kill();
    let from_backup = gateway.resume().await;
    assert!(gateway.client().get("ann").await.is_some());
    let ready = gateway.ask("GET", "/readyz", None).await.0;
    row(
        &format!("start with {flags} flags → listening, → loaded from Redis"),
        &format!("{:.0} ms, {:.0} ms", listening.as_secs_f64() * 1000.0, loaded.as_secs_f64() * 1000.0),
    );
    row("memory (RSS) then", &format!("{memory:.0} MiB"));
    row(
        "start without Redis from the backup → listening and ready",
        &format!("{:.0} ms", from_backup.as_secs_f64() * 1000.0),
    );
    assert_eq!(ready, 200);
    assert!(memory < 400.0, "{memory}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_are_lost() {
    let (some, all) = if full() { (100, 10) } else { (10, 1) };
    let (redis, store) = filled(100).await;
    let proxy = Proxy::start(redis.port).await;
    let gateways = gateways(proxy.port(), 1).await;
    for (every, rounds, what) in [(10, some, "every tenth hint is lost"), (1, all, "all hints are lost")] {
        proxy.become_of(Fault::LoseHints(every));
        let mut took = Vec::new();
        for round in 0..rounds {
            let mut last = 0;
            // The last of ten is the one that is lost.
            for number in 0..every {
                let (key, flag) = typical((round * every + number) % 100);
                last = store.write(put(&key, &flag)).await.unwrap().world.number;
            }
            let written = clock::monotonic();
            until("the writes are served", async || applied(&gateways[0]).await >= last).await;
            took.push(written.elapsed().as_secs_f64() * 1000.0);
        }
        took.sort_by(f64::total_cmp);
        let (middle, most) = (quantile(&took, 0.5), took[took.len() - 1]);
        row(&format!("{what}, {rounds} times: write → served"), &format!("p50 {middle:.0} ms, max {most:.0} ms"));
        assert!(most < 15_000.0, "{most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_fail_over() {
    let rounds = if full() { 20 } else { 2 };
    let mut watched = Watched::start();
    let store = RedisStore::new(watched.config());
    store.write(put("canary", &canary(50))).await.unwrap();
    let gateways = gateways_of(&watched.section(), 2).await;
    let load = Load::start(&gateways, 2, Duration::from_millis(2));
    let mut took = Vec::new();
    for round in 0..rounds {
        let master = watched.settled_master();
        let replica = 1 - master;
        let revision = watched.servers[master].ask(&["GET", "flaggate:revision"]);
        watched.servers[replica].wait_until(|replica| replica.ask(&["GET", "flaggate:revision"]) == revision);
        watched.servers[master].kill();
        let killed = clock::monotonic();
        let last = loop {
            if let Ok(written) = store.write(put("canary", &canary(50))).await {
                break written.world.number;
            }
            assert!(killed.elapsed() < PATIENCE, "round {round}: nobody takes writes");
            sleep(Duration::from_millis(10)).await;
        };
        for gateway in &gateways {
            until("both follow the new master", async || applied(gateway).await >= last).await;
        }
        took.push(killed.elapsed().as_secs_f64());
        watched.servers[master].resume();
        let port = watched.servers[replica].port.to_string();
        watched.servers[master].ask(&["REPLICAOF", "127.0.0.1", &port]);
    }
    let asked = load.end().await;
    took.sort_by(f64::total_cmp);
    row(
        &format!("{rounds} failovers by sentinels under load: master killed → a write is served by both"),
        &format!("p50 {:.1} s, max {:.1} s", quantile(&took, 0.5), took[took.len() - 1]),
    );
    row("requests meanwhile", &format!("{}, {} failed, {} flipped", asked.micros.len(), asked.failed, asked.flipped));
    assert_eq!((asked.failed, asked.flipped), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_bearable() {
    let (redis, _store) = filled(100).await;
    let gateways = gateways(redis.port, 1).await;
    let gateway = &gateways[0];
    let before = gateway.memory_mib();
    let load = Load::start(&gateways, 2, Duration::from_millis(2));
    for command in (0..EACH).flat_map(poison) {
        redis.ask_bytes(&command.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    until("all of it is told", async || {
        let told = gateway.ask("GET", "/diagnostics", None).await.1;
        let told =
            told["documents"].as_array().map(|told| told.iter().map(|fault| fault["key"].clone()).collect::<Vec<_>>());
        let mut keys: Vec<String> = told.unwrap_or_default().iter().map(ToString::to_string).collect();
        keys.sort();
        keys.dedup();
        keys.len() == 10 * EACH
    })
    .await;
    let asked = load.end().await;
    let more = gateway.memory_mib() - before;
    row(
        "500 poisoned documents under load: all in /diagnostics",
        &format!(
            "{more:.0} MiB more memory, {} requests, {} failed, {} flipped",
            asked.micros.len(),
            asked.failed,
            asked.flipped
        ),
    );
    assert_eq!((asked.failed, asked.flipped), (0, 0));
    assert!(more < 128.0, "{more}");
}
