//! Every count is exact: two gateways over one Redis, under load, while flags and the configuration change.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use flaggate::{
    model::Arm,
    store::{CounterStore as _, RedisStore},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

use crate::{
    server::Server,
    world::{Gateway, Series, Told, Upstream, many, read_head, until},
};

/// What is asked for by turns: most requests go well.
const PATHS: [&str; 10] =
    ["/a", "/b", "/status/204", "/c", "/status/301", "/status/404", "/d", "/status/503", "/e", "/die"];

/// Counts by labels.
type Counts = BTreeMap<Vec<String>, u64>;

struct World {
    gateways: Vec<Gateway>,
    upstreams: BTreeMap<&'static str, Upstream>,
    redis: Server,
    /// What each flag is from a revision on.
    states: Vec<(u64, &'static str, Value)>,
}

impl World {
    async fn start() -> Self {
        let redis = Server::start(&[]);
        let mut upstreams = BTreeMap::new();
        for name in ["stable", "next"] {
            upstreams.insert(name, Upstream::start().await);
        }
        let (stable, next) = (upstreams["stable"].address, upstreams["next"].address);
        let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"", redis.port);
        let more = format!(
            "[upstreams.stable]\nendpoints = [{{ address = \"{stable}\" }}]\n\
             [upstreams.next]\nendpoints = [{{ address = \"{next}\" }}]\n[[routes]]\nname = \"shop\"\nmatch = {{ hosts = [\"shop\"] }}\n\
             upstream = \"stable\"\ncanary = {{ flag = \"canary\", upstream = \"next\" }}\nflags = [\"canary\", \"theme\"]\n"
        );
        let gateways = vec![Gateway::start(&store, &more).await, Gateway::start(&store, &more).await];
        let mut world = Self { gateways, upstreams, redis, states: Vec::new() };
        let canary = json!({ "key": "canary", "name": "Canary", "rollout_enabled": true, "rollout_percentage": 20 });
        let theme = json!({
            "key": "theme", "name": "Theme", "flag_type": "string", "default_value": "classic", "targeting_enabled": true,
            "targeting_rules": [{ "attribute": "plan", "operator": "equals", "value": "pro", "return_value": "dark" }],
        });
        world.change("POST", "/flags", canary).await;
        world.change("POST", "/flags", theme).await;
        world
    }

    /// Writes a flag, waits until both gateways serve it, and keeps which revision that is.
    async fn change(&mut self, method: &str, path: &str, fields: Value) {
        self.gateways[0].tell(method, &format!("{path}?wait=all"), fields).await;
        let (_, told) = self.gateways[1].ask("GET", "/diagnostics", None).await;
        let revision = told["revision"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        for key in ["canary", "theme"] {
            let (status, document) = self.gateways[0].ask("GET", &format!("/flags/{key}"), None).await;
            if status == 200 {
                self.states.push((revision, key, document));
            }
        }
    }

    /// The reason for which a flag gave a variation at a revision.
    fn reason(&self, revision: u64, key: &str, variation: &str) -> &'static str {
        let states = self.states.iter().filter(|(from, known, _)| *known == key && *from <= revision);
        let document = &states.max_by_key(|(from, ..)| *from).unwrap().2;
        match (document["enabled"] != false, key, variation) {
            (false, ..) => "flag_disabled",
            (true, "canary", "true") => "rollout",
            (true, "canary", _) => "default",
            // Whom a rule meets gets what it says, everybody else the default.
            (true, _, variation) if document["default_value"] == variation => "default",
            (true, ..) => "targeting_match",
        }
    }

    /// What must have been counted, by what the upstreams were told.
    fn expected(&self) -> [Counts; 4] {
        let [mut routes, mut evaluations, mut variations, mut durations] = [(); 4].map(|()| Counts::new());
        for (upstream, told) in &self.upstreams {
            for (Told { route, flags, class }, times) in told.told() {
                let field = |name: &str| {
                    let field = route.split(';').find_map(|field| field.trim().strip_prefix(&format!("{name}=")));
                    field.unwrap_or_else(|| panic!("{name} of {route:?}")).to_owned()
                };
                let (strategy, revision) = (field("strategy"), field("revision").parse().unwrap());
                let add = |counts: &mut Counts, labels: &[&str]| {
                    *counts.entry(labels.iter().map(|label| (*label).to_owned()).collect()).or_default() += times;
                };
                add(&mut routes, &["shop", &strategy, upstream, class]);
                for flag in flags.split(", ") {
                    let (key, value) = flag.split_once('=').unwrap();
                    let variation = match value {
                        "?1" => "true",
                        "?0" => "false",
                        text => text.trim_matches('"'),
                    };
                    add(&mut evaluations, &[key, variation, self.reason(revision, key, variation)]);
                    add(&mut variations, &[key, variation, class]);
                    add(&mut durations, &[key, variation]);
                }
            }
        }
        [routes, evaluations, variations, durations]
    }

    async fn metrics(&self) -> Series {
        let mut all = Series::default();
        for gateway in &self.gateways {
            all.add(gateway.metrics().await);
        }
        all
    }
}

/// Asks over a connection that is kept, until so many requests were sent in all.
async fn ask(address: SocketAddr, sent: Arc<AtomicU64>, total: u64) -> u64 {
    let (mut stream, mut buffer, mut refused) = (None, Vec::new(), 0);
    loop {
        let number = sent.fetch_add(1, Relaxed);
        if number >= total {
            return refused;
        }
        let mut connection = match stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address).await.unwrap(),
        };
        let (path, plan) = (PATHS[(number % 10) as usize], if number.is_multiple_of(3) { "pro" } else { "free" });
        // One in a hundred is refused by the gateway itself. Who sends a POST is not tried elsewhere.
        let host = if number % 100 == 42 { "nobody" } else { "shop" };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nX-User-Id: user-{}\r\nX-Plan: {plan}\r\nContent-Length: 0\r\n\r\n",
            number * 7_919 % 1_000
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut connection, &mut buffer).await.unwrap_or_else(|| panic!("no answer to {request}"));
        refused += u64::from(host == "nobody");
        assert_eq!(
            head.starts_with("HTTP/1.1 404") && !path.contains("404"),
            host == "nobody" && !path.contains("404"),
            "{head}"
        );
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        let closes = head.to_ascii_lowercase().contains("connection: close");
        while !head.starts_with("HTTP/1.1 204") && buffer.len() < length {
            use tokio::io::AsyncReadExt as _;
            assert!(connection.read_buf(&mut buffer).await.unwrap() > 0, "a body is cut off");
        }
        buffer.clear();
        stream = (!closes).then_some(connection);
    }
}

/// Requests by arm, as the store has them.
async fn stored(counters: &RedisStore) -> Counts {
    let now = counters.now().await.unwrap();
    let from = now - Duration::from_secs(890);
    let counted = counters.all_counts(from, now + Duration::from_secs(5)).await.unwrap();
    let arms = counted.arms.keys().map(|arm| {
        let total = counted.total(arm);
        assert_eq!(total.latency.requests(), total.requests, "{arm:?}");
        let labels = match arm {
            Arm::Variation { flag, variation } => vec![flag.to_string(), variation.to_string()],
            Arm::Route { route, strategy, upstream } => {
                vec![route.to_string(), strategy.to_string(), upstream.to_string()]
            }
        };
        (labels, total.requests)
    });
    // An arm may have evaluations alone: those that applications asked for.
    arms.filter(|(_, requests)| *requests > 0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_count_is_exact_while_flags_and_the_configuration_change() {
    let total = many(100_000, 4_000);
    let mut world = World::start().await;
    let sent = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for address in [world.gateways[0].web, world.gateways[1].web].repeat(4) {
        clients.spawn(ask(address, Arc::clone(&sent), total));
    }
    // Variations come and go, and come again; percentages move; a flag goes off and on.
    let dark = json!([{ "attribute": "plan", "operator": "equals", "value": "pro", "return_value": "dark" }]);
    let festive = json!([{ "attribute": "plan", "operator": "equals", "value": "pro", "return_value": "festive" }]);
    let changes = [
        ("canary", json!({ "rollout_percentage": 60 })),
        ("theme", json!({ "targeting_rules": festive })),
        ("canary", json!({ "enabled": false })),
        ("theme", json!({ "targeting_rules": [] })),
        ("canary", json!({ "enabled": true, "rollout_percentage": 5 })),
        ("theme", json!({ "targeting_rules": dark })),
        ("theme", json!({ "default_value": "plain" })),
    ];
    let mut seen = Series::default();
    for (number, (key, fields)) in (1..).zip(changes) {
        until("some more is asked", async || sent.load(Relaxed) >= total * number / 8).await;
        world.change("PATCH", &format!("/flags/{key}"), fields).await;
        let route = format!(
            "[[routes]]\nname = \"other-{number}\"\nmatch = {{ hosts = [\"other-{number}\"] }}\nupstream = \"next\"\n"
        );
        for gateway in &world.gateways {
            gateway.configure(&route).await;
        }
        // No count goes down.
        let now = world.metrics().await;
        for ((name, labels), before) in
            seen.0.iter().filter(|((name, _), _)| name.ends_with("_total") || name.ends_with("_count"))
        {
            let after = now.0.get(&(name.clone(), labels.clone())).copied();
            assert!(after.is_some_and(|after| after >= *before), "{name} {labels:?}: {before}, then {after:?}");
        }
        seen = now;
    }
    let mut refused = 0;
    while let Some(client) = clients.join_next().await {
        refused += client.unwrap();
    }
    assert_eq!(refused, total / 100);

    until("all requests are over", async || world.metrics().await.sum("flaggate_requests_total") >= total).await;
    let [mut routes, evaluations, variations, durations] = world.expected();
    let refusal = ["none", "none", "none", "4xx"].map(str::to_owned).to_vec();
    routes.insert(refusal, refused);
    let found = world.metrics().await;
    let labels = ["route", "strategy", "upstream", "code_class"];
    assert_eq!(found.by("flaggate_requests_total", &labels), routes);
    assert_eq!(routes.values().sum::<u64>(), total);
    assert_eq!(found.by("flaggate_flag_evaluations_total", &["flag", "variation", "reason"]), evaluations);
    assert_eq!(found.by("flaggate_variation_requests_total", &["flag", "variation", "code_class"]), variations);
    assert_eq!(found.by("flaggate_variation_duration_seconds_count", &["flag", "variation"]), durations);
    assert_eq!(found.sum("flaggate_request_duration_seconds_count"), total);
    assert!(evaluations.len() >= 7, "every variation and reason was there: {evaluations:#?}");

    // The same from the store, where both gateways' counts are one.
    let counters = RedisStore::new(world.redis.config());
    let mut expected = durations;
    for (labels, times) in routes.into_iter().filter(|(labels, _)| labels[0] != "none") {
        *expected.entry(labels[..3].to_vec()).or_default() += times;
    }
    until("the last second reached the store", async || {
        stored(&counters).await.values().sum::<u64>() >= expected.values().sum()
    })
    .await;
    assert_eq!(stored(&counters).await, expected);
    println!("| {total} requests over 2 gateways, 7 changes of flags, 7 of the configuration | every count exact |");
}
