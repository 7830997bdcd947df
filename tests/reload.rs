//! The configuration is read anew while the gateway runs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/process.rs"]
mod process;
#[path = "support/upstream.rs"]
mod upstream;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use flaggate::clock;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use self::{
    process::{PATIENCE, Process},
    upstream::{free, upstream},
};

/// A gateway whose file can be written anew.
struct Gateway {
    process: Process,
    client: Client,
    /// What stands in the file beside routes and upstreams.
    rest: String,
}

/// Routes `/` to one upstream of these.
fn routed(upstreams: &[(&str, SocketAddr)], to: &str) -> String {
    let pools = upstreams.iter().map(|(name, address)| {
        format!(
            "[upstreams.{name}]\nendpoints = [{{ address = \"{address}\" }}]\n\
             health_check = {{ path = \"/healthz\", interval = \"100ms\", unhealthy = 1 }}\n"
        )
    });
    let pools: String = pools.collect();
    format!("{pools}[[routes]]\nname = \"{to}-route\"\nupstream = \"{to}\"\nexpose = true\n")
}

impl Gateway {
    async fn start(routes: &str, top: &str) -> Self {
        let process = Process::start(&json!([]), &format!("{top}\n{routes}")).await;
        let text = fs::read_to_string(file(&process)).unwrap();
        let rest = text[text.find("[[listeners]]").unwrap()..].to_owned();
        Self { process, client: Client::new(), rest }
    }

    fn write(&self, routes: &str) {
        // As editors do: a whole file takes the place of the other.
        let next = file(&self.process).with_extension("next");
        fs::write(&next, format!("{routes}\n{}", self.rest)).unwrap();
        fs::rename(next, file(&self.process)).unwrap();
    }

    async fn reload(&self) -> (StatusCode, Value) {
        let answer = self.client.post(self.admin("/config/reload")).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn served_by(&self) -> String {
        self.client.get(format!("http://{}/", self.process.web)).send().await.unwrap().text().await.unwrap()
    }

    async fn served(&self, name: &str) {
        let by = clock::monotonic() + PATIENCE;
        while self.served_by().await != name {
            assert!(clock::monotonic() < by, "{name} never serves");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn metrics(&self) -> String {
        self.client.get(self.admin("/metrics")).send().await.unwrap().text().await.unwrap()
    }

    /// The sum of the series whose line begins so.
    async fn sum(&self, series: &str) -> u64 {
        let text = self.metrics().await;
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.admin)
    }
}

fn file(process: &Process) -> PathBuf {
    process.folder.path().join("flaggate.toml")
}

/// Requests one after the other on kept connections, until it is told to stop; counts them.
async fn load(web: SocketAddr, over: Arc<AtomicBool>, sent: Arc<AtomicU64>) {
    let client = Client::new();
    while !over.load(Ordering::Relaxed) {
        let answer = client.get(format!("http://{web}/")).send().await.expect("no request fails");
        assert_eq!(answer.status(), StatusCode::OK);
        let upstream = answer.headers()["x-flaggate-upstream"].to_str().unwrap().to_owned();
        assert_eq!(answer.text().await.unwrap(), upstream, "a request sees one configuration");
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_or_is_lost_while_routes_change() {
    let (blue, green) = (upstream("blue").await, upstream("green").await);
    let both = [("blue", blue), ("green", green)];
    let gateway = Gateway::start(&routed(&both, "blue"), "").await;
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let users: Vec<_> =
        (0..8).map(|_| tokio::spawn(load(gateway.process.web, Arc::clone(&over), Arc::clone(&sent)))).collect();
    for turn in 0..40 {
        // The series of a route are kept while it is there, so that nothing of them is lost.
        let (name, other) = if turn % 2 == 0 { ("green", "blue") } else { ("blue", "green") };
        let other = format!(
            "[[routes]]\nname = \"{other}-route\"\nupstream = \"{other}\"\nmatch = {{ hosts = [\"nobody.example\"] }}\n"
        );
        gateway.write(&(routed(&both, name) + &other));
        let (status, told) = gateway.reload().await;
        assert_eq!((status, &told["changed"]), (StatusCode::OK, &json!(true)), "{told}");
        assert_eq!(gateway.served_by().await, name);
        sent.fetch_add(1, Ordering::Relaxed);
    }
    over.store(true, Ordering::Relaxed);
    for user in users {
        user.await.unwrap();
    }
    // A request is counted after its answer was sent.
    let by = clock::monotonic() + PATIENCE;
    while gateway.sum("flaggate_requests_total{").await < sent.load(Ordering::Relaxed) {
        assert!(clock::monotonic() < by, "requests are lost");
    }
    assert_eq!(gateway.sum("flaggate_requests_total{").await, sent.load(Ordering::Relaxed));
    assert_eq!(gateway.sum("flaggate_request_duration_seconds_count{").await, sent.load(Ordering::Relaxed));
    assert_eq!(gateway.sum("flaggate_config_reloads_total{result=\"changed\"}").await, 40);
}

#[tokio::test]
async fn the_file_is_watched_and_hangup_reloads() {
    let both = [("blue", upstream("blue").await), ("green", upstream("green").await)];
    let watching = Gateway::start(&routed(&both, "blue"), "").await;
    watching.write(&routed(&both, "green"));
    watching.served("green").await;

    let told = Gateway::start(&routed(&both, "blue"), "server.watch_config = false").await;
    told.write(&format!("server.watch_config = false\n{}", routed(&both, "green")));
    let id = told.process.process.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    told.served("green").await;
    assert_eq!(told.sum("flaggate_config_reloads_total{").await, 1);
}

#[tokio::test]
async fn health_outlives_a_reload_and_what_is_new_is_looked_at_first() {
    let down = free();
    let well = [("well", upstream("well").await), ("down", down)];
    let gateway = Gateway::start(&routed(&well, "well"), "").await;
    let healthy = |name: &str, address: SocketAddr| {
        format!("flaggate_upstream_endpoint_healthy{{endpoint=\"{address}\",upstream=\"{name}\"}}")
    };
    assert_eq!(gateway.sum(&healthy("down", down)).await, 0);
    let new_down = free();
    let more = [well[0], well[1], ("new", upstream("new").await), ("lost", new_down)];
    gateway.write(&routed(&more, "new"));
    assert_eq!(gateway.reload().await.0, StatusCode::OK);
    // All of it is known as soon as it is in force.
    let seen = [("well", well[0].1, 1), ("down", down, 0), ("new", more[2].1, 1), ("lost", new_down, 0)];
    for (name, address, expected) in seen {
        assert_eq!(gateway.sum(&healthy(name, address)).await, expected, "{name}");
    }
    assert_eq!(gateway.served_by().await, "new");
    gateway.write(&routed(&more[..1], "well"));
    assert_eq!(gateway.reload().await.0, StatusCode::OK);
    let metrics = gateway.metrics().await;
    for gone in ["new-route", "upstream=\"new\"", "upstream=\"down\"", "upstream=\"lost\""] {
        assert!(!metrics.contains(gone), "{gone} is still there");
    }
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_says_where() {
    let both = [("blue", upstream("blue").await), ("green", upstream("green").await)];
    let good = routed(&both, "blue");
    let gateway = Gateway::start(&good, "server.watch_config = false").await;
    let wrong = routed(&both, "green");
    let route = "[[routes]]\nname = \"green-route\"";
    let cases = [
        ("upstream = \"green\"", "upstream = \"gren\"", "there is no upstream \"gren\""),
        ("upstream = \"green\"", "upstreem = \"green\"", "unknown key `upstreem`"),
        ("upstream = \"green\"", "", "upstream"),
        ("upstream = \"green\"", "upstream = 5", "upstream"),
        ("upstream = \"green\"", "upstream = \"green", ""),
        ("upstream = \"green\"", "upstream = [\"green\"]", "upstream"),
        ("expose = true", "expose = \"yes\"", "expose"),
        ("expose = true", "expose = 1", "expose"),
        ("expose = true", "match = { path_prefix = \"shop\" }", "is not a path"),
        ("expose = true", "match = { methods = [\"G T\"] }", ""),
        ("expose = true", "match = { hosts = [\"a b\"] }", ""),
        ("expose = true", "match = { header = {} }", "unknown key `header`"),
        ("expose = true", "canary = { flag = \"f\" }", "upstream"),
        ("expose = true", "canary = { flag = \"f\", upstream = \"none\" }", "there is no upstream \"none\""),
        ("expose = true", "blue_green = { flag = \"f\", blue = \"blue\" }", "green"),
        ("expose = true", "features = [{ flag = \"f\", variations = { \"true\" = \"none\" } }]", "\"none\""),
        ("expose = true", "limits = { body = \"10 elephants\" }", ""),
        ("expose = true", "mirror = { flag = \"f\", upstream = \"blue\", percent = 500 }", "percent"),
        (route, "[[routes]]\nname = \"\"", ""),
        (route, "[[routes]]\nname = \"x\"\nupstream = \"blue\"\n[[routes]]\nname = \"x\"", "\"x\""),
        (route, "[[route]]\nname = \"green-route\"", "unknown key `route`"),
        ("path = \"/healthz\"", "path = \"healthz\"", ""),
        ("interval = \"100ms\"", "interval = \"100 parsecs\"", "parsecs"),
        ("interval = \"100ms\"", "interval = 100", "interval"),
        ("unhealthy = 1", "unhealthy = 0", "unhealthy"),
        ("unhealthy = 1", "unhealthy = -1", "unhealthy"),
        ("[upstreams.green]", "[upstreams.green", ""),
        ("[upstreams.green]", "[upstreams.blue]", ""),
        ("[upstreams.green]\nendpoints", "[upstreams.green]\nload_balance = \"best\"\nendpoints", "best"),
        (
            "[upstreams.green]\nendpoints",
            "[context]\nuser_id = [{ headr = \"X\" }]\n[upstreams.green]\nendpoints",
            "headr",
        ),
    ];
    let mut failures = Vec::new();
    for (from, to, expected) in cases {
        assert!(wrong.contains(from), "{from}");
        gateway.write(&wrong.replacen(from, to, 1));
        let (status, told) = gateway.reload().await;
        let detail = told["detail"].as_str().unwrap_or_default();
        let is_refused = status == StatusCode::UNPROCESSABLE_ENTITY && gateway.served_by().await == "blue";
        if !(is_refused && detail.contains(expected) && detail.contains("flaggate.toml:")) {
            failures.push(format!("{to}: {status} {told}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(gateway.sum("flaggate_config_reloads_total{result=\"refused\"}").await, cases.len() as u64);
    assert_eq!(gateway.sum("flaggate_config_last_reload_successful").await, 0);
    gateway.write(&good);
    assert_eq!(gateway.reload().await.1["changed"], false);
    assert_eq!(gateway.sum("flaggate_config_last_reload_successful").await, 1);
}

#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let both = [("blue", upstream("blue").await), ("green", upstream("green").await)];
    let gateway = Gateway::start(&routed(&both, "blue"), "server.watch_config = false").await;
    gateway.write(&format!("server.workers = 9\ncontext.region = \"mars\"\n{}", routed(&both, "green")));
    let reload = Command::new(env!("CARGO_BIN_EXE_flaggate"))
        .args(["reload", "--admin", &format!("http://{}", gateway.process.admin)])
        .output();
    let output = reload.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told, "the configuration was reloaded\na restart is needed for: context.region, server\n");
    assert_eq!(gateway.served_by().await, "green");
}
