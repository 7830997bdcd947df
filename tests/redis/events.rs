//! Events of gateways of the real binary in a stream: a consumer group reads each once, and a Redis that is away costs no request
//! and no more memory than is allowed. `FLAGGATE_MEASURE=full` for more users and five minutes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use flaggate::clock;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    replicas::{Gateway, PATIENCE, until, upstream},
    server::Server,
};

const STREAM: &str = "{gate}:flaggate:exposures";

fn is_full() -> bool {
    std::env::var("FLAGGATE_MEASURE").is_ok_and(|size| size == "full")
}

/// Two gateways that share a Redis; the flag `canary` takes some users.
async fn fleet(server: &Server, more: &str) -> [Gateway; 2] {
    let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\nkey_prefix = \"{{gate}}:\"", server.port);
    let upstreams = [upstream("stable").await, upstream("canary").await];
    let gateways = [Gateway::start(upstreams, &store, more).await, Gateway::start(upstreams, &store, more).await];
    let flag = json!({ "key": "canary", "name": "Canary", "rollout_enabled": true, "rollout_percentage": 30 });
    let (status, told) = gateways[0].ask("POST", "/flags?wait=all", Some(flag)).await;
    assert!(status < 300, "{told}");
    gateways
}

/// The readers of a consumer group, who take turns.
struct Readers {
    connection: redis::aio::MultiplexedConnection,
    turn: usize,
}

/// What `XREADGROUP` answers: streams, each with its entries, each with its fields.
type Read = Option<Vec<(String, Vec<(String, BTreeMap<String, String>)>)>>;

impl Readers {
    async fn join(server: &Server) -> Self {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(STREAM).arg("warehouse").arg("0").arg("MKSTREAM");
        create.exec_async(&mut connection).await.unwrap();
        Self { connection, turn: 0 }
    }

    /// What is new, acknowledged.
    async fn read(&mut self) -> Vec<Value> {
        self.turn += 1;
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg("warehouse").arg(format!("reader-{}", self.turn % 2)).arg("COUNT").arg(500);
        let found: Read = read.arg("STREAMS").arg(STREAM).arg(">").query_async(&mut self.connection).await.unwrap();
        let entries: Vec<_> = found.into_iter().flatten().flat_map(|(_, entries)| entries).collect();
        for (id, _) in &entries {
            let mut taken = redis::cmd("XACK");
            let taken: u64 =
                taken.arg(STREAM).arg("warehouse").arg(id).query_async(&mut self.connection).await.unwrap();
            assert_eq!(taken, 1);
        }
        let event = |fields: &BTreeMap<String, String>| {
            let event: Value = serde_json::from_str(&fields["event"]).unwrap();
            assert_eq!(event["event_type"], fields["type"].as_str());
            event
        };
        entries.iter().map(|(_, fields)| event(fields)).collect()
    }

    /// Reads until there were so many of a type, and then what comes within two seconds.
    async fn read_until(&mut self, kind: &str, count: usize) -> Vec<Value> {
        let (mut events, by) = (Vec::new(), clock::monotonic() + PATIENCE);
        let mut last = clock::monotonic();
        loop {
            let read = self.read().await;
            if !read.is_empty() {
                last = clock::monotonic();
            }
            events.extend(read);
            if of(&events, kind).count() >= count && clock::monotonic() - last > Duration::from_secs(2) {
                return events;
            }
            assert!(clock::monotonic() < by, "{} of {count} {kind}", of(&events, kind).count());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn of<'e>(events: &'e [Value], kind: &'e str) -> impl Iterator<Item = &'e Value> {
    events.iter().filter(move |event| event["event_type"] == kind)
}

/// The value of a metric's series, summed over those whose labels have all of these.
async fn metric(gateway: &Gateway, name: &str, labels: &[&str]) -> u64 {
    let (_, text) = gateway.ask("GET", "/metrics", None).await;
    let text = text.as_str().unwrap().to_owned();
    let is_it = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    };
    text.lines().filter(is_it).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_group_reads_each_exposure_of_two_gateways_once() {
    let server = Server::start(&[]);
    let mut readers = Readers::join(&server).await;
    let gateways = fleet(&server, "").await;
    let (client, users, each) = (reqwest::Client::new(), if is_full() { 20_000 } else { 400 }, 3);
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..each {
        for user in 0..users {
            let url = format!("http://{}/", gateways[user % 2].address);
            let answer = client.get(url).header("X-User-Id", format!("user-{user}")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let variation = if answer.text().await.unwrap() == "canary" { "true" } else { "false" };
            let known = expected.insert(format!("user-{user}"), variation.to_owned());
            assert!(round == 0 || known.as_deref() == Some(variation));
        }
    }
    // An application that asks for a user whom this gateway has served tells nothing new.
    let asked = json!({ "user_id": "user-0" });
    assert_eq!(gateways[0].ask("POST", "/flags/canary/evaluate", Some(asked)).await.0, 200);
    let track =
        json!([{ "user_id": "user-1", "event": "bought", "value": 2 }, { "user_id": "user-1", "event": "left" }]);
    assert_eq!(gateways[1].ask("POST", "/track", Some(track)).await.0, 202);
    assert_eq!(gateways[1].set_canary(31, "?wait=all").await.0, 200);
    let kill = json!({ "flags": ["canary"], "reason": "test" });
    let (status, told) = gateways[0].ask("POST", "/kill?wait=all", Some(kill)).await;
    assert!(status < 300, "{told}");
    let events = readers.read_until("flag_evaluated", users).await;
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for event in of(&events, "flag_evaluated") {
        assert_eq!((&event["data"]["flag"], &event["service_name"]), (&json!("canary"), &json!("flaggate")));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let twice = found.insert(text(&event["user_id"]), text(&event["data"]["variation"]));
        assert_eq!(twice, None, "{event}");
    }
    assert_eq!(found, expected);
    let ids: BTreeSet<&str> = events.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
    for (kind, count) in [("metric_recorded", 1), ("user_action", 1), ("flag_updated", 2), ("kill_switch_triggered", 1)]
    {
        assert_eq!(of(&events, kind).count(), count, "{kind}");
    }
    let mut counts = (0, 0);
    for gateway in &gateways {
        counts.0 += metric(gateway, "flaggate_events_total", &["type=\"flag_evaluated\""]).await;
        counts.1 += metric(gateway, "flaggate_flag_evaluations_total", &["flag=\"canary\""]).await;
        assert_eq!(metric(gateway, "flaggate_exposures_dropped_total", &[]).await, 0);
    }
    assert_eq!(counts, (users as u64, (users * each) as u64 + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_away_costs_memory_within_bounds_and_no_request() {
    let mut server = Server::start(&[]);
    let [gateway, other] = fleet(&server, "[events]\nmemory = \"1MiB\"\n").await;
    drop(other);
    let client = reqwest::Client::new();
    let ask = async |user: u64| {
        let url = format!("http://{}/", gateway.address);
        let answer = client.get(url).header("X-User-Id", format!("user-{user}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    for user in 0..500 {
        ask(user).await;
    }
    server.kill();
    let (began, mut user) = (clock::monotonic(), 500);
    let down = Duration::from_secs(if is_full() { 300 } else { 4 });
    let mut memory = Vec::new();
    while clock::monotonic() - began < down || metric(&gateway, "flaggate_exposures_dropped_total", &[]).await == 0 {
        for _ in 0..2_000 {
            ask(user).await;
            user += 1;
        }
        memory.push(gateway.memory_mib());
        assert!(clock::monotonic() - began < down + PATIENCE, "nothing is dropped: {memory:?}");
    }
    let dropped = metric(&gateway, "flaggate_exposures_dropped_total", &[]).await;
    let grown = memory.last().unwrap() - memory.first().unwrap();
    println!("| {} s away | {user} users | {dropped} exposures dropped | grew by {grown:.1} MiB |", down.as_secs());
    assert!(grown < 16.0, "{memory:?}");
    server.resume();
    let mut readers = Readers::join(&server).await;
    let delivered = metric(&gateway, "flaggate_events_delivered_total", &["sink=\"redis\""]).await;
    until("the sink takes events again", async || {
        ask(user).await;
        metric(&gateway, "flaggate_events_delivered_total", &["sink=\"redis\""]).await > delivered
    })
    .await;
    // What waited comes, and who was dropped and is still here is told of anew.
    let read = readers.read_until("flag_evaluated", 1).await;
    let told: Vec<&str> = of(&read, "flag_evaluated").map(|event| event["user_id"].as_str().unwrap()).collect();
    // Who was asking all the time is told of before and after.
    let asking = format!("user-{user}");
    let others = told.iter().filter(|told| **told != asking);
    assert_eq!(others.clone().collect::<BTreeSet<_>>().len(), others.count());
    ask(user - 1).await;
    let last = format!("user-{}", user - 1);
    let read = readers.read_until("flag_evaluated", usize::from(!told.contains(&&*last))).await;
    let again = of(&read, "flag_evaluated").any(|event| event["user_id"] == last.as_str());
    assert!(again || told.contains(&&*last), "{last}");
}
