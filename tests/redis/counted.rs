//! What gateways count, merged in Redis: the contract, what it costs, and gateways of the real binary.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use flaggate::{
    model::{Arm, ArmCounts, Latency, Users},
    store::{Counted, CounterStore, RedisStore},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{
    cluster::Cluster,
    replicas::{Gateway, until},
    server::Server,
};

/// Counts, and their server.
struct Home {
    counters: Arc<dyn CounterStore>,
    _server: Server,
}

fn one_server() -> Home {
    let server = Server::start(&[]);
    Home { counters: Arc::new(RedisStore::new(server.config())), _server: server }
}

counter_contract!(one_server_keeps_it, crate::counted::one_server);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_it() {
    let cluster = Cluster::start();
    counter_contract!(each |promise: &str| {
        Arc::new(RedisStore::new(cluster.config(&format!("{{{promise}}}:")))) as Arc<dyn CounterStore>
    });
}

fn arm(variation: &str) -> Arm {
    Arm::Variation { flag: "canary".into(), variation: variation.into() }
}

async fn all(counters: &dyn CounterStore) -> Counted {
    let now = counters.now().await.unwrap();
    counters.all_counts(now - Duration::from_secs(900), now + Duration::from_secs(5)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_end_by_themselves_and_nonsense_is_passed_over() {
    let server = Server::start(&[]);
    let counters = RedisStore::new(server.config());
    let counts = ArmCounts { requests: 3, ..ArmCounts::default() };
    counters.add("a", vec![(arm("on"), counts.clone())]).await.unwrap();
    let keys = server.ask(&["KEYS", "flaggate:metrics:*"]);
    let minute = keys.lines().find(|line| line.starts_with("flaggate:metrics:") && !line.ends_with("gateways"));
    let minute = minute.unwrap().to_owned();
    for key in [&minute, "flaggate:metrics:gateways"] {
        let left: i64 = server.ask(&["TTL", key]).trim().trim_start_matches(':').parse().unwrap();
        assert!((1_190..=1_200).contains(&left), "{key}: {left}");
    }
    server.ask(&["HSET", &minute, "nonsense", "x", "7:[1]", "x", "8:[\"canary\",\"on\"]", "\u{1}\u{9}"]);
    server.ask(&["HSET", "flaggate:metrics:gateways", "nonsense", "x"]);
    let found = all(&counters).await;
    assert_eq!((found.total(&arm("on")).requests, found.last_seen.len()), (3, 1));
    let kept = found.arms[&arm("on")].iter().filter(|(_, counts)| counts.requests > 0);
    assert_eq!(kept.count(), 1);
}

/// The table of the documentation: what a gateway of so many requests a second writes, with 5 arms that share them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_of_a_gateway_is_small() {
    let server = Server::start(&[]);
    let counters = RedisStore::new(server.config());
    let number = |answer: &str| -> u64 { answer.trim().trim_start_matches(':').parse().unwrap() };
    let input = || {
        let info = server.ask(&["INFO", "stats"]);
        number(info.lines().find_map(|line| line.strip_prefix("total_net_input_bytes:")).unwrap())
    };
    let memory = || {
        let keys = server.ask(&["KEYS", "flaggate:metrics:*"]);
        let minutes = keys.lines().filter(|line| line.starts_with("flaggate:metrics:") && !line.ends_with("gateways"));
        minutes.map(|key| number(&server.ask(&["MEMORY", "USAGE", key, "SAMPLES", "0"]))).sum::<u64>()
    };
    for (rate, most) in [(300_u64, 4_000), (10_000, 12_000)] {
        server.ask(&["FLUSHALL"]);
        let before = input();
        for second in 0..3_u64 {
            let mut arms: BTreeMap<Arm, ArmCounts> = BTreeMap::new();
            for number in 0..rate {
                let drawn = Users::hash(&format!("{second}-{number}"));
                let (micros, user) = (1_000 + drawn % 5_000, Users::place(Users::hash(&(drawn % 100_000).to_string())));
                // Each request is one of its route's way and one of each of two flags' variations.
                let way = if drawn.is_multiple_of(20) { "canary" } else { "default" };
                let ways = [format!("route-{way}"), format!("flag-{way}"), "theme".to_owned()];
                for name in ways {
                    let counts = arms.entry(arm(&name)).or_default();
                    counts.requests += 1;
                    counts.latency.add(Latency::bucket(micros), 1);
                    counts.users.add(user);
                }
            }
            counters.add("a", arms.into_iter().collect()).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        let (sent, held) = ((input() - before) / 3, memory() / 3);
        println!("| {rate} requests/s, 5 arms | {sent} bytes/s sent | {held} bytes/s kept |");
        assert!(sent < most, "{rate} requests/s: {sent} bytes");
    }
}

/// An upstream that answers 500 for paths with `fail`, nothing for those with `die`, and else 200 with its name.
async fn upstream(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(BufReader::new(stream), name));
        }
    });
    address
}

async fn answer(mut stream: BufReader<TcpStream>, name: &str) -> Option<()> {
    loop {
        let mut path = String::new();
        let mut line = String::new();
        while stream.read_line(&mut line).await.ok()? > 0 && line != "\r\n" {
            if path.is_empty() {
                path.clone_from(&line);
            }
            line.clear();
        }
        let status = match () {
            () if path.is_empty() || path.contains("die") => return None,
            () if path.contains("fail") => "500 Broken",
            () => "200 OK",
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nX-Name: {name}\r\n\r\n{name}", name.len());
        stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
    }
}

/// What should have been counted: requests and errors by variation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    requests: u64,
    errors: u64,
}

struct World {
    redis: Server,
    gateways: Vec<Gateway>,
    client: reqwest::Client,
    /// By variation of the flag `canary`.
    expected: BTreeMap<&'static str, Told>,
}

impl World {
    async fn start() -> Self {
        Self::start_skewed(["", ""]).await
    }

    /// Two gateways whose clocks are wrong by so much.
    async fn start_skewed(skews: [&'static str; 2]) -> Self {
        let redis = Server::start(&[]);
        let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"", redis.port);
        let upstreams = [upstream("stable").await, upstream("canary").await];
        let mut gateways = Vec::new();
        for skew in skews {
            gateways.push(Gateway::start_skewed(upstreams, &store, "", skew).await);
        }
        let flag = json!({ "key": "canary", "name": "Canary", "rollout_enabled": true, "rollout_percentage": 30 });
        let (status, told) = gateways[0].ask("POST", "/flags?wait=all", Some(flag)).await;
        assert!(status < 300, "{told}");
        Self { redis, gateways, client: reqwest::Client::new(), expected: BTreeMap::new() }
    }

    /// So many requests of users in turn to all gateways in turn; every 5th ends in an error, every 25th without an
    /// answer.
    async fn ask(&mut self, requests: u64) {
        for number in 0..requests {
            let what = match number {
                number if number % 25 == 0 => "die",
                number if number % 5 == 0 => "fail",
                _ => "fine",
            };
            let gateway = &self.gateways[(number % self.gateways.len() as u64) as usize];
            let url = format!("http://{}/{what}", gateway.address);
            // Who sends a POST is not tried elsewhere, so that each is one request of one upstream.
            let user = format!("user-{}", number % 97);
            let request = self.client.post(url).header("X-User-Id", &user).header("Content-Length", 0);
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            assert_eq!(
                status,
                match what {
                    "die" => 502,
                    "fail" => 500,
                    _ => 200,
                }
            );
            let name = answer.headers().get("x-name").map(|name| name.to_str().unwrap().to_owned());
            let variation = match name.as_deref() {
                Some("canary") => "true",
                Some(_) => "false",
                None => self.variation(&user).await,
            };
            let told = self.expected.entry(variation).or_default();
            told.requests += 1;
            told.errors += u64::from(status >= 500);
        }
    }

    /// What a user is given now.
    async fn variation(&self, user: &str) -> &'static str {
        let asked = json!({ "user_id": user });
        let (status, told) = self.gateways[0].ask("POST", "/flags/canary/evaluate", Some(asked)).await;
        assert_eq!(status, 200, "{told}");
        if told["variation"] == "true" { "true" } else { "false" }
    }

    /// Waits until all has been counted, and compares it with what was asked.
    async fn compare(&self) {
        let total: u64 = self.expected.values().map(|told| told.requests).sum();
        let gateway = self.gateways.last().unwrap();
        let path = "/traffic?seconds=600";
        until("everything is counted", async || {
            let (_, told) = gateway.ask("GET", path, None).await;
            sum(&told, |arm| arm["route"] == "shop").requests >= total
        })
        .await;
        let (status, told) = gateway.ask("GET", path, None).await;
        assert_eq!(status, 200);
        for (variation, expected) in &self.expected {
            let upstream = if *variation == "true" { "canary" } else { "stable" };
            let strategy = if *variation == "true" { "canary" } else { "default" };
            assert_eq!(
                sum(&told, |arm| arm["flag"] == "canary" && arm["variation"] == *variation),
                *expected,
                "{told:#}"
            );
            let is_way = |arm: &Value| arm["upstream"] == upstream && arm["strategy"] == strategy;
            assert_eq!(sum(&told, is_way), *expected, "{told:#}");
        }
        // The same from the store, with the histograms.
        let counters = RedisStore::new(self.redis.config());
        let found = all(&counters).await;
        for arm in found.arms.keys() {
            let total = found.total(arm);
            assert_eq!(total.latency.requests(), total.requests, "{arm:?}");
        }
        assert_eq!(found.arms.len(), 2 * self.expected.len());
    }
}

fn sum(told: &Value, is_wanted: impl Fn(&Value) -> bool) -> Told {
    // There are none in the answer of a gateway whose store is away.
    let arms = told["arms"].as_array().into_iter().flatten().filter(|arm| is_wanted(arm));
    arms.fold(Told::default(), |sum, arm| Told {
        requests: sum.requests + arm["requests"].as_u64().unwrap(),
        errors: sum.errors + arm["errors"].as_u64().unwrap(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_count_exactly_across_changes_of_the_flag_and_to_the_last_second() {
    let mut world = World::start().await;
    world.ask(200).await;
    let (status, _) = world.gateways[1].set_canary(60, "?wait=all").await;
    assert_eq!(status, 200);
    world.ask(200).await;
    world.compare().await;
    let (_, told) = world.gateways[0].ask("GET", "/traffic?seconds=600", None).await;
    assert_eq!(told["gateways"].as_array().unwrap().len(), 2);
    let users = |variation: &str| {
        let arms = told["arms"].as_array().unwrap();
        arms.iter().find(|arm| arm["variation"] == variation).unwrap()["users"].as_u64().unwrap()
    };
    // Those who moved are in both: 97 asked.
    assert!((97..=97 * 2).contains(&(users("true") + users("false"))), "{told:#}");
    // Client's aborts and refusals are nobody's.
    let address = world.gateways[0].address;
    let refused = world.client.post(format!("http://{address}/a%2fb")).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    let mut gone = TcpStream::connect(address).await.unwrap();
    gone.write_all(b"POST /gone HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    drop(gone);
    // What is counted in the last second before the end is there too.
    world.ask(50).await;
    let mut stopped = world.gateways.remove(0);
    stopped.stop().await;
    world.compare().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_while_redis_is_away_comes_later() {
    let mut world = World::start().await;
    world.ask(50).await;
    world.compare().await;
    world.redis.ask(&["CLIENT", "PAUSE", "3000", "ALL"]);
    world.ask(20).await;
    world.compare().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_an_hour_off_change_nothing() {
    let mut world = World::start_skewed(["+3600s", "-3600s"]).await;
    let counters = RedisStore::new(world.redis.config());
    let began = counters.now().await.unwrap();
    world.ask(100).await;
    world.compare().await;
    let ended = counters.now().await.unwrap();
    // Each second is one of those in which it was asked, and the newest looks back on all of them from either gateway.
    let found = counters.all_counts(began - Duration::from_secs(1), ended + Duration::from_secs(1)).await.unwrap();
    let requests = |variation: &str| found.total(&arm(variation)).requests;
    assert_eq!(requests("true") + requests("false"), 100);
    let window = format!("/traffic?seconds={}", (ended.as_second() - began.as_second()) + 2);
    for gateway in &world.gateways {
        let (_, told) = gateway.ask("GET", &window, None).await;
        assert_eq!(sum(&told, |told| told["route"] == "shop").requests, 100, "{told:#}");
        let clock = gateway.ask("GET", "/audit?limit=1", None).await.1;
        let at: jiff::Timestamp = clock["entries"][0]["at"].as_str().unwrap().parse().unwrap();
        assert!(
            (at.as_second() - began.as_second()).abs() > 3_000,
            "its clock is wrong (scripts/setup test installs faketime): {at}"
        );
    }
}
