//! Kill switches that act by themselves: three gateways of the real binary over one Redis, and an upstream that goes bad.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use flaggate::{
    clock,
    model::DocumentKey,
    store::{Expected, RedisStore, Store, Write},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    replicas::{Gateway, until, upstream},
    server::Server,
};

/// An upstream that answers `canary`, or 500 while it is broken; counts what it is asked.
async fn fickle(is_broken: Arc<AtomicBool>, asked: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&is_broken), Arc::clone(&asked)));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, is_broken: Arc<AtomicBool>, asked: Arc<AtomicUsize>) {
    let mut seen = Vec::new();
    while stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
        if !seen.ends_with(b"\r\n\r\n") {
            continue;
        }
        seen.clear();
        asked.fetch_add(1, Relaxed);
        let status = if is_broken.load(Relaxed) { "500 Internal Server Error" } else { "200 OK" };
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 6\r\n\r\ncanary");
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A webhook: what it is told.
async fn hook() -> (SocketAddr, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, told) = (listener.local_addr().unwrap(), Told::default());
    let kept = Arc::clone(&told);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = Vec::new();
            // The body is a JSON object, and ends with it.
            while !seen.ends_with(b"}") && stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {}
            let text = String::from_utf8(seen).unwrap();
            if let Some((_, body)) = text.split_once("\r\n\r\n") {
                kept.lock().unwrap().push(serde_json::from_str(body).unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok();
        }
    });
    (address, told)
}

type Told = Arc<Mutex<Vec<Value>>>;

struct World {
    told: Told,
    _redis: Server,
    gateways: Vec<Gateway>,
    is_broken: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    users: Vec<JoinHandle<()>>,
}

impl World {
    /// Three gateways that all send everybody to the canary, two of which have users.
    async fn start() -> Self {
        let redis = Server::start(&[]);
        let (is_broken, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let upstreams = [upstream("stable").await, fickle(Arc::clone(&is_broken), Arc::clone(&asked)).await];
        let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"", redis.port);
        let mut gateways = Vec::new();
        let (hook, told) = hook().await;
        for number in 1..=3 {
            let more = format!(
                "server.name = \"gateway-{number}\"\noutbound.allow = [\"{hook}\"]\noutbound.networks = [\"127.0.0.0/8\"]\n\
                 outbound.channels.ops.url = \"http://{hook}/hook\""
            );
            gateways.push(Gateway::start(upstreams, &store, &more).await);
        }
        for gateway in &gateways {
            gateway.until_store("the store answers", |store| store["store_up"] == true).await;
        }
        let flag = json!({ "key": "canary", "name": "Canary", "rollout_enabled": true, "rollout_percentage": 100 });
        let write = Write {
            document: DocumentKey::flag("canary"),
            text: Some(flag.to_string().into()),
            expected: Expected::Any,
            actor: "test".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            fence: None,
        };
        RedisStore::new(redis.config()).write(write).await.unwrap();
        for gateway in &gateways {
            until("it goes to the canary", async || gateway.client().get("ann").await.as_deref() == Some("canary"))
                .await;
        }
        Self {
            told,
            _redis: redis,
            gateways,
            is_broken,
            asked,
            stop: Arc::new(AtomicBool::new(false)),
            users: Vec::new(),
        }
    }

    /// Many users come and go at the first two gateways.
    fn begin_load(&mut self) {
        for gateway in &self.gateways[..2] {
            let (mut client, stop) = (gateway.client(), Arc::clone(&self.stop));
            self.users.push(tokio::spawn(async move {
                let mut number = 0;
                while !stop.load(Relaxed) {
                    client.get(&format!("user-{}", number % 500)).await;
                    number += 1;
                    sleep(Duration::from_millis(4)).await;
                }
            }));
        }
    }

    async fn end_load(&mut self) {
        self.stop.store(true, Relaxed);
        for user in self.users.drain(..) {
            user.await.unwrap();
        }
    }

    async fn switch(&self) -> Value {
        self.gateways[2].ask("GET", "/kill-switches/k", None).await.1
    }

    async fn until_state(&self, state: &str) {
        until(&format!("it is {state}"), async || self.switch().await["status"]["state"] == state).await;
    }

    /// Which users reach the canary through a gateway.
    async fn through(&self, gateway: usize) -> Vec<usize> {
        let mut client = self.gateways[gateway].client();
        let mut through = Vec::new();
        for user in 0..200 {
            if client.get(&format!("user-{user}")).await.as_deref() != Some("stable") {
                through.push(user);
            }
        }
        through
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_trips_it_everywhere_and_users_come_back_in_steps() {
    let mut world = World::start().await;
    let switch = json!({ "id": "k", "name": "Canary", "affected_features": ["canary"], "auto_trigger_enabled": true,
        "error_threshold": 20, "volume_threshold": 20, "auto_recovery_enabled": true, "recovery_delay_seconds": 2,
        "recovery_step_seconds": 5, "recovery_percentage_steps": [25, 100], "notification_channels": ["ops"] });
    let (status, answer) = world.gateways[0].ask("POST", "/kill-switches?wait=all", Some(switch)).await;
    assert_eq!(status, 201, "{answer}");
    world.begin_load();
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(world.switch().await["status"]["state"], "inactive");

    world.is_broken.store(true, Relaxed);
    let broke = clock::monotonic();
    world.until_state("triggered").await;
    let took = broke.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let status = world.switch().await["status"].clone();
    assert_eq!((&status["automatic"], &status["activations"]), (&json!(true), &json!(1)), "one wins: {status}");
    let record = &status["history"][0];
    assert!(record["error_rate_before"].as_f64().unwrap() >= 20.0, "{record}");
    assert!(record["by"].as_str().unwrap().starts_with("the breaker of gateway-"), "{record}");
    until("all follow, the idle one too", async || {
        world.gateways[2].client().get("ann").await.as_deref() == Some("stable")
    })
    .await;

    // A quarter comes back, to what is still broken: it relapses.
    world.until_state("recovering").await;
    world.until_state("triggered").await;
    let status = world.switch().await["status"].clone();
    assert_eq!((&status["activations"], &status["history"][0]["relapse"]), (&json!(2), &json!(true)), "{status}");

    // Mended: the same quarter comes back at every gateway, then all.
    world.is_broken.store(false, Relaxed);
    world.until_state("recovering").await;
    for gateway in &world.gateways {
        until("it is served", async || {
            gateway
                .ask("GET", "/kill-switches?state=recovering", None)
                .await
                .1
                .as_array()
                .is_some_and(|list| list.len() == 1)
        })
        .await;
    }
    let (first, second) = (world.through(0).await, world.through(2).await);
    if world.switch().await["status"]["recovery"]["percentage"] == 25.0 {
        assert_eq!(first, second);
        assert!((20..=80).contains(&first.len()), "{}", first.len());
    }
    world.until_state("inactive").await;
    world.end_load().await;
    let (_, history) = world.gateways[0].ask("GET", "/kill-switches/k/history", None).await;
    let record = &history["activations"][0];
    assert_eq!(
        (&record["ended_because"], &record["error_rate_after"]),
        (&json!("it recovered"), &json!(0.0)),
        "{record}"
    );
    assert!(world.asked.load(Relaxed) > 0);
    // One gateway tells of each step, and nothing is told twice.
    let steps = ["triggered", "recovering", "triggered", "recovering", "recovering", "lifted"];
    until("all of it is told", async || world.told.lock().unwrap().len() >= steps.len()).await;
    let told = world.told.lock().unwrap().clone();
    let mut kinds: Vec<&str> = told.iter().map(|notice| notice["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let mut expected = steps.map(|step| format!("flaggate.kill_switch_{step}"));
    expected.sort_unstable();
    assert_eq!(kinds, expected, "{told:?}");
    assert!(told.iter().all(|notice| notice["subject"] == "k"), "{told:?}");
    assert_eq!(world.gateways[2].client().get("ann").await.as_deref(), Some("canary"), "all is as it was");
}
