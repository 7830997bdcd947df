//! Kill switches that act by themselves: three gateways of the real binary over one Redis, and an upstream that goes bad.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use flaggate::{
    clock,
    eval::Hash,
    model::DocumentKey,
    store::{Expected, RedisStore, Store, Write},
};
use futures_util::future::join_all;
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

/// An upstream that answers `canary`, or 500 while it is broken.
#[derive(Clone, Default)]
struct Fickle {
    is_broken: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    /// When it gave the first bad answer since it broke.
    first_bad: Arc<Mutex<Option<Instant>>>,
}

impl Fickle {
    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, fickle) = (listener.local_addr().unwrap(), self.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, fickle.clone()));
            }
        });
        address
    }

    fn breaks(&self) {
        *self.first_bad.lock().unwrap() = None;
        self.is_broken.store(true, Relaxed);
    }

    fn is_mended(&self) {
        self.is_broken.store(false, Relaxed);
    }

    /// Waits until it was asked so many times more.
    async fn is_asked(&self, more: usize) {
        let before = self.asked.load(Relaxed);
        until("it is asked", async || self.asked.load(Relaxed) >= before + more).await;
    }
}

async fn answer(mut stream: TcpStream, fickle: Fickle) {
    let Fickle { is_broken, asked, first_bad } = fickle;
    let mut seen = Vec::new();
    while stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
        if !seen.ends_with(b"\r\n\r\n") {
            continue;
        }
        seen.clear();
        asked.fetch_add(1, Relaxed);
        let status = if is_broken.load(Relaxed) {
            first_bad.lock().unwrap().get_or_insert_with(clock::monotonic);
            "500 Internal Server Error"
        } else {
            "200 OK"
        };
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
    canary: Fickle,
    stop: Arc<AtomicBool>,
    users: Vec<JoinHandle<()>>,
}

impl World {
    /// Three gateways that all send everybody to the canary, two of which have users.
    async fn start() -> Self {
        let redis = Server::start(&[]);
        let canary = Fickle::default();
        let upstreams = [upstream("stable").await, canary.listen().await];
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
        Self { told, _redis: redis, gateways, canary, stop: Arc::new(AtomicBool::new(false)), users: Vec::new() }
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

    async fn guard(&self, switch: Value) {
        let (status, answer) = self.gateways[0].ask("POST", "/kill-switches?wait=all", Some(switch)).await;
        assert_eq!(status, 201, "{answer}");
    }

    async fn switch(&self) -> Value {
        self.gateways[2].ask("GET", "/kill-switches/k", None).await.1
    }

    /// Waits until every gateway serves the switch in this state, and gives the last moment.
    async fn until_served(&self, state: &str) -> Instant {
        let path = format!("/kill-switches?state={state}");
        let serves = self.gateways.iter().map(async |gateway| {
            let is_so = async || gateway.ask("GET", &path, None).await.1.as_array().is_some_and(|list| list.len() == 1);
            until(&format!("it is {state} everywhere"), is_so).await;
            clock::monotonic()
        });
        join_all(serves).await.into_iter().max().unwrap()
    }

    /// Which users reach the canary, the same at each gateway.
    async fn through(&self) -> Vec<usize> {
        let each = self.gateways.iter().map(async |gateway| {
            let mut client = gateway.client();
            let mut through = Vec::new();
            for user in 0..USERS {
                if client.get(&format!("user-{user}")).await.as_deref() != Some("stable") {
                    through.push(user);
                }
            }
            through
        });
        let mut each = join_all(each).await;
        let first = each.pop().unwrap();
        assert!(each.iter().all(|other| *other == first), "{first:?} {each:?}");
        first
    }

    /// Those who are let through at the first step: a quarter, and for as long as this looks.
    async fn first_quarter(&self) -> Vec<usize> {
        self.until_served("recovering").await;
        let through = self.through().await;
        let recovery = self.switch().await["status"]["recovery"].take();
        assert_eq!(recovery["percentage"], 25.0, "it was slow to look, or the step was short: {recovery}");
        through
    }
}

/// Users who are looked at one by one.
const USERS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_trips_it_at_every_gateway_within_two_seconds() {
    let mut world = World::start().await;
    let switch = json!({ "id": "k", "name": "Canary", "affected_features": ["canary"], "auto_trigger_enabled": true,
        "error_threshold": 20, "volume_threshold": 20 });
    world.guard(switch).await;
    world.begin_load();
    let mut times = Vec::new();
    for burst in 0..5 {
        world.canary.is_asked(300).await;
        // At another moment within the second in which is counted.
        sleep(Duration::from_millis(burst * 200)).await;
        world.canary.breaks();
        let seen = world.until_served("triggered").await;
        times.push(seen - world.canary.first_bad.lock().unwrap().unwrap());
        world.canary.is_mended();
        for gateway in &world.gateways {
            assert_eq!(gateway.client().get("ann").await.as_deref(), Some("stable"));
        }
        let status = world.switch().await["status"].clone();
        assert_eq!(
            (&status["automatic"], &status["activations"]),
            (&json!(true), &json!(burst + 1)),
            "one wins: {status}"
        );
        let record = &status["history"][0];
        assert!(record["error_rate_before"].as_f64().unwrap() >= 20.0, "{record}");
        assert!(record["by"].as_str().unwrap().starts_with("the breaker of gateway-"), "{record}");
        let (status, answer) = world.gateways[1]
            .ask("POST", "/kill-switches/k/deactivate?wait=all", Some(json!({ "reason": "mended" })))
            .await;
        assert_eq!(status, 200, "{answer}");
    }
    world.end_load().await;
    println!("from the first bad answer until every gateway had tripped: {times:?}");
    assert!(times.iter().all(|time| *time < Duration::from_secs(2)), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_back_by_bucket_and_a_relapse_triggers_it_again() {
    let mut world = World::start().await;
    let switch = json!({ "id": "k", "name": "Canary", "affected_features": ["canary"], "auto_trigger_enabled": true,
        "error_threshold": 20, "volume_threshold": 20, "auto_recovery_enabled": true, "recovery_delay_seconds": 1,
        "recovery_step_seconds": 5, "recovery_percentage_steps": [25, 100], "notification_channels": ["ops"] });
    world.guard(switch).await;
    world.begin_load();
    world.canary.is_asked(300).await;
    world.canary.breaks();
    world.until_served("triggered").await;
    world.canary.is_mended();
    let first = world.first_quarter().await;
    let expected: Vec<usize> =
        (0..USERS).filter(|user| Hash::Md5.bucket("k", &format!("user-{user}")) < 2_500).collect();
    assert_eq!(first, expected, "the documented quarter");

    // It breaks again while a quarter is there.
    world.canary.breaks();
    world.until_served("triggered").await;
    let status = world.switch().await["status"].clone();
    assert_eq!((&status["activations"], &status["history"][0]["relapse"]), (&json!(2), &json!(true)), "{status}");
    world.canary.is_mended();
    assert_eq!(world.first_quarter().await, first, "the same users come back first");
    world.until_served("inactive").await;
    assert_eq!(world.through().await.len(), USERS, "all is as it was");
    world.end_load().await;
    let (_, history) = world.gateways[0].ask("GET", "/kill-switches/k/history", None).await;
    let record = &history["activations"][0];
    assert_eq!(
        (&record["ended_because"], &record["error_rate_after"]),
        (&json!("it recovered"), &json!(0.0)),
        "{record}"
    );
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
}
