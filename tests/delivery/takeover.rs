//! Conductors fall asleep and die, again and again, at the worst moments. `FLAGGATE_CYCLES` says how often.

use std::{
    env,
    time::{Duration, Instant},
};

use flaggate::clock;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    gateway::{Gateway, PATIENCE, Upstream},
    server::Server,
};

/// The lease, and what a takeover may take beyond it.
const TAKEOVER: Duration = Duration::from_secs(5 + 2);

/// The gateways.
const NAMES: [&str; 3] = ["g1", "g2", "g3"];

/// The flags that a deployment of these tests changes at the same time.
const FLAGS: [&str; 2] = ["shop-canary", "feature"];

/// The shares that one deployment gives each flag, one after the other.
const SHARES: usize = 150;

/// How long each share stays.
const STAYS: &str = "100ms";

/// Where a conductor dies: the point, and how many times it passes there before.
const DEATHS: [(&str, u32); 8] = [
    ("after_lease", 1),
    ("before_status", 4),
    ("after_status", 4),
    ("after_telling", 4),
    ("before_flag", 3),
    ("between_flags", 2),
    ("after_flags", 3),
    ("before_give_back", 1),
];

fn cycles(usual: usize) -> usize {
    env::var("FLAGGATE_CYCLES").ok().and_then(|cycles| cycles.parse().ok()).unwrap_or(usual)
}

fn shares() -> Vec<f64> {
    (1..=SHARES).map(|step| (step as f64 * 10_000.0 / SHARES as f64).round() / 100.0).collect()
}

/// Two stages of very many small steps that run at the same time, so that a step often sets two flags.
fn document(id: &str) -> Value {
    let steps: Vec<Value> =
        shares().iter().flat_map(|share| [json!({ "set_weight": share }), json!({ "pause": STAYS })]).collect();
    let rollout: Vec<Value> = shares().iter().map(|share| json!({ "percentage": share, "duration": STAYS })).collect();
    json!({ "id": id, "name": "Steps", "parallel_stages": true, "stages": [
        { "name": "canary", "strategy": "canary", "config": { "route": "shop", "steps": steps } },
        { "name": "feature", "strategy": "feature_flag", "config": { "flag_key": "feature", "rollout_stages": rollout } } ] })
}

/// Three gateways over one Redis, and one deployment after the other.
struct World {
    redis: Server,
    gateways: Vec<Gateway>,
    /// How many deployments were begun.
    rounds: usize,
    slowest: Duration,
}

impl World {
    async fn start(environments: [String; 3]) -> Self {
        let (redis, upstream) = (Server::start(&[]), Upstream::start().await);
        let upstreams = ["stable", "canary", "blue", "green"].map(|name| (name, &upstream));
        let mut gateways = Vec::new();
        for (name, fails_at) in NAMES.into_iter().zip(environments) {
            let environment = vec![("FLAGGATE_FAIL_AT", fails_at)];
            gateways.push(Gateway::start_with(name, redis.port, &upstreams, "", environment).await);
        }
        gateways[0].fill().await;
        Self { redis, gateways, rounds: 0, slowest: Duration::ZERO }
    }

    fn id(&self) -> String {
        format!("steps-{}", self.rounds)
    }

    /// The answer of a gateway that is awake, of another if it dies meanwhile. What was done all the same is refused with 409.
    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let began = clock::monotonic();
        loop {
            for gateway in &mut self.gateways {
                if gateway.is_dead() || gateway.is_asleep() {
                    continue;
                }
                if let Some((status, answer)) = gateway.try_send(method, path, body).await {
                    assert!((200..300).contains(&status) || status == 409, "{path}: {status} {answer}");
                    return answer;
                }
            }
            assert!(clock::monotonic() - began < PATIENCE, "nobody answers {path}");
            self.wake(None);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Begins the next deployment, with both flags at nothing.
    async fn begin(&mut self) {
        self.rounds += 1;
        let id = self.id();
        for flag in FLAGS {
            let fields = json!({ "rollout_enabled": true, "rollout_percentage": 0.0 });
            self.ask("PATCH", &format!("/flags/{flag}"), &fields).await;
        }
        self.ask("POST", "/deployments", &document(&id)).await;
        self.ask("POST", &format!("/deployments/{id}/start"), &Value::Null).await;
    }

    /// What is stored of the deployment.
    fn status(&self) -> Value {
        let text = self.redis.ask(&["HGET", &format!("deployment:{}", self.id()), "document"]);
        let mut document: Value = serde_json::from_str(&text).unwrap();
        document["status"].take()
    }

    fn is_over(&self) -> bool {
        self.status()["state"] == "completed"
    }

    /// How many steps were done.
    fn progress(&self) -> u64 {
        let status = self.status();
        let stages = status["stages"].as_array().into_iter().flatten();
        stages.map(|stage| stage["step"].as_u64().unwrap_or(0)).sum()
    }

    /// Waits until a step is done that was not at `from`, or all are. Nobody but the sleeper stays asleep, or all would be.
    async fn moves_on(&mut self, from: u64, sleeper: usize) -> Duration {
        let began = clock::monotonic();
        while self.progress() <= from && !self.is_over() {
            assert!(clock::monotonic() - began < PATIENCE, "it does not go on from step {from}");
            self.wake(Some(sleeper));
            sleep(Duration::from_millis(10)).await;
        }
        clock::monotonic() - began
    }

    /// The end of a round: each share was set once and in order, as far as it came.
    async fn check(&mut self) {
        let id = self.id();
        if self.is_over() {
            for flag in FLAGS {
                assert_eq!(self.set(flag).await, shares(), "{flag}");
            }
            return;
        }
        self.ask("POST", &format!("/deployments/{id}/abort"), &Value::Null).await;
        let began = clock::monotonic();
        while self.status()["state"] != "rolled_back" {
            assert!(clock::monotonic() - began < PATIENCE, "it is not undone: {}", self.status());
            self.wake(None);
            sleep(Duration::from_millis(20)).await;
        }
        for flag in FLAGS {
            let mut set = self.set(flag).await;
            assert_eq!(set.pop(), Some(0.0), "{flag} is not as it was");
            assert_eq!(set, shares()[..set.len()], "{flag}");
            assert!(!set.is_empty());
        }
    }

    /// Those who sleep go on, but for one.
    fn wake(&mut self, but: Option<usize>) {
        for (position, gateway) in self.gateways.iter_mut().enumerate() {
            if but != Some(position) && !gateway.is_dead() && gateway.is_asleep() {
                gateway.signal("CONT");
            }
        }
    }

    /// The shares that conductors set a flag to since the round began, in order.
    async fn set(&mut self, flag: &str) -> Vec<f64> {
        let page = self.ask("GET", &format!("/flags/{flag}/history?full=true&limit=200"), &Value::Null).await;
        let entries = page["entries"].as_array().unwrap().iter();
        let mut set: Vec<f64> = entries
            .take_while(|entry| entry["actor"] == "conductor")
            .map(|entry| entry["document"]["rollout_percentage"].as_f64().unwrap())
            .collect();
        set.reverse();
        set
    }
}

/// Writes of a conductor that the store refused because of its lease; nothing: it does not answer.
async fn refused(gateway: &Gateway) -> Option<u64> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
    let metrics = client.get(format!("http://{}/metrics", gateway.admin)).send().await.ok()?.text().await.ok()?;
    let line = metrics.lines().find(|line| line.starts_with("flaggate_conductor_refused_writes_total"));
    line.unwrap().split_whitespace().nth(1).unwrap().parse().ok()
}

/// Each conductor falls asleep with a write in its hand, and wakes up when another has done that already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_sleeps_does_nothing_twice_and_what_it_writes_late_is_refused() {
    let cycles = cycles(10);
    let mut world =
        World::start(["before_status:9:STOP", "before_flag:5:STOP", "between_flags:3:STOP"].map(str::to_owned)).await;
    let (mut slept, mut late) = (0, [0; 3]);
    while slept < cycles {
        world.begin().await;
        while slept < cycles && !world.is_over() {
            let Some(sleeper) = world.gateways.iter().position(Gateway::is_asleep) else {
                sleep(Duration::from_millis(5)).await;
                continue;
            };
            let took = world.moves_on(world.progress(), sleeper).await;
            assert!(took < TAKEOVER, "cycle {slept}: {took:?}");
            world.slowest = world.slowest.max(took);
            world.gateways[sleeper].signal("CONT");
            slept += 1;
            late[sleeper] += 1;
            let began = clock::monotonic();
            let gateway = &world.gateways[sleeper];
            while refused(gateway).await.is_none_or(|refused| refused < late[sleeper]) {
                assert!(clock::monotonic() - began < PATIENCE, "its write was not refused: {}", gateway.log());
                // It may lead again, and sleep again, before it is asked.
                if gateway.is_asleep() {
                    gateway.signal("CONT");
                }
                sleep(Duration::from_millis(5)).await;
            }
        }
        world.check().await;
    }
    world.wake(None);
    let mut all = 0;
    for (gateway, late) in world.gateways.iter().zip(late) {
        let refused = refused(gateway).await.unwrap();
        assert!(refused >= late, "{refused} of {late} late writes were refused: {}", gateway.log());
        all += refused;
    }
    println!("{slept} cycles: {all} late writes, all refused; the slowest takeover took {:?}", world.slowest);
}

/// Each conductor is to die at the point at which fewest did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_at_any_point_leaves_no_step_out_and_does_none_twice() {
    let cycles = cycles(1);
    let armed = |point: usize| format!("{}:{}:KILL", DEATHS[point].0, DEATHS[point].1);
    let mut points = [0, 1, 2];
    let mut world = World::start(points.map(armed)).await;
    let mut deaths = [0; DEATHS.len()];
    while deaths.iter().any(|died| *died < cycles) {
        world.begin().await;
        let mut died: Option<(Instant, u64)> = None;
        while deaths.iter().any(|died| *died < cycles) && !world.is_over() {
            if let Some(position) = world.gateways.iter_mut().position(Gateway::is_dead) {
                died = Some((clock::monotonic(), world.progress()));
                deaths[points[position]] += 1;
                let others = points;
                let free = (0..DEATHS.len()).filter(|point| !others.contains(point));
                points[position] = free.min_by_key(|point| deaths[*point]).unwrap();
                let gateway = &mut world.gateways[position];
                gateway.environment = vec![("FLAGGATE_FAIL_AT", armed(points[position]))];
                assert!(gateway.run().await, "{}", gateway.log());
            }
            if let Some((at, from)) = died.filter(|(_, from)| world.progress() > *from) {
                // The next one may have died as well in between, before it did anything.
                let took = at.elapsed();
                world.slowest = world.slowest.max(took);
                assert!(took < 3 * TAKEOVER, "from step {from}: {took:?}");
                died = None;
                end(&world, points).await;
            }
            sleep(Duration::from_millis(5)).await;
        }
        // What is left is not to be disturbed.
        for gateway in &mut world.gateways {
            gateway.kill();
            gateway.environment.clear();
            assert!(gateway.run().await, "{}", gateway.log());
        }
        world.check().await;
        if deaths.iter().any(|died| *died < cycles) {
            for (gateway, point) in world.gateways.iter_mut().zip(points) {
                gateway.kill();
                gateway.environment = vec![("FLAGGATE_FAIL_AT", armed(point))];
                assert!(gateway.run().await, "{}", gateway.log());
            }
        }
    }
    println!(
        "{} deaths, at each point {deaths:?}; the slowest takeover took {:?}",
        deaths.iter().sum::<usize>(),
        world.slowest
    );
}

/// Asks the leader to end, if it is to die when it gives its lease back.
async fn end(world: &World, points: [usize; 3]) {
    for (position, name) in NAMES.iter().enumerate() {
        let gateway = &world.gateways[position];
        if DEATHS[points[position]].0 == "before_give_back" && gateway.id(name).await == Gateway::holder(&world.redis) {
            gateway.signal("TERM");
        }
    }
}
