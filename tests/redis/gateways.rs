//! The real program over a real Redis: two gateways, a Redis that dies, one that is not there yet.

use std::{
    fs,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::{
    following::SOON,
    server::{Server, free_port},
};

/// A gateway that runs.
struct Gateway {
    process: Child,
    port: u16,
    admin: u16,
    client: Client,
}

impl Gateway {
    /// Starts one that sends users of flag `f` to a canary; its files are in `folder`.
    fn start(folder: &TempDir, redis: u16, upstreams: [u16; 2]) -> Self {
        let [port, admin] = [free_port(), free_port()];
        let [stable, canary] = upstreams;
        let config = format!(
            "listeners = [{{ name = \"web\", address = \"127.0.0.1:{port}\" }}]\nadmin.address = \"127.0.0.1:{admin}\"\n\
             access_log.enabled = false\nserver.workers = 1\n\
             upstreams.stable.endpoints = [{{ address = \"127.0.0.1:{stable}\" }}]\n\
             upstreams.canary.endpoints = [{{ address = \"127.0.0.1:{canary}\" }}]\n\
             routes = [{{ name = \"all\", upstream = \"stable\", canary = {{ flag = \"f\", upstream = \"canary\" }} }}]\n\
             [store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{redis}\"\nbackup = \"backup.json\"\n"
        );
        let path = folder.path().join("flaggate.toml");
        fs::write(&path, config).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(["run", "--config"])
            .arg(&path)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        Self { process, port, admin, client }
    }

    /// What the user gets; `None`: nothing, or no 200.
    async fn get(&self) -> Option<String> {
        let request = self.client.get(format!("http://127.0.0.1:{}/", self.port)).header("X-User-Id", "u");
        request.send().await.ok()?.error_for_status().ok()?.text().await.ok()
    }

    async fn until_get(&self, wanted: Option<&str>) {
        until(async || self.get().await.as_deref() == wanted).await;
    }

    async fn is_ready(&self) -> Option<bool> {
        let answer = self.client.get(format!("http://127.0.0.1:{}/readyz", self.admin)).send().await.ok()?;
        Some(answer.status().is_success())
    }

    async fn until_store(&self, wanted: impl Fn(&Value) -> bool) {
        until(async || {
            let answer = self.client.get(format!("http://127.0.0.1:{}/diagnostics", self.admin)).send().await;
            match answer {
                Ok(answer) => wanted(&answer.json::<Value>().await.unwrap()["store"]),
                Err(_) => false,
            }
        })
        .await;
    }

    async fn create(&self, enabled: bool) {
        let flag = json!({"key": "f", "name": "F", "flag_type": "boolean", "enabled": true, "default_value": enabled});
        let url = format!("http://127.0.0.1:{}/flags", self.admin);
        assert_eq!(self.client.post(url).json(&flag).send().await.unwrap().status(), 200);
    }

    async fn patch(&self, value: bool) -> u16 {
        let url = format!("http://127.0.0.1:{}/flags/f", self.admin);
        let sent = self.client.patch(url).json(&json!({"default_value": value})).send().await;
        sent.unwrap().status().as_u16()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

async fn until(condition: impl AsyncFn() -> bool) {
    let by = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < by, "it did not come that far in time");
        sleep(Duration::from_millis(10)).await;
    }
}

/// An upstream that answers with its name.
async fn upstream(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(async move || name)).await });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_share_flags_and_serve_on_while_redis_is_gone() {
    let mut redis = Server::start(&[]);
    let upstreams = [upstream("stable").await, upstream("canary").await];
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let gateways = folders.each_ref().map(|folder| Arc::new(Gateway::start(folder, redis.port, upstreams)));
    for gateway in &gateways {
        gateway.until_get(Some("stable")).await;
        gateway.until_store(|store| store["store_up"] == true).await;
    }
    gateways[0].create(true).await;
    gateways[1].until_get(Some("canary")).await;
    gateways[0].until_get(Some("canary")).await;

    let stop = Arc::new(AtomicBool::new(false));
    let failures = Arc::new(AtomicUsize::new(0));
    let users = gateways.clone().map(|gateway| {
        let (stop, failures) = (stop.clone(), failures.clone());
        tokio::spawn(async move {
            while !stop.load(SeqCst) {
                if gateway.get().await.as_deref() != Some("canary") {
                    failures.fetch_add(1, SeqCst);
                }
            }
        })
    });
    redis.ask(&["SAVE"]);
    for _ in 0..3 {
        redis.kill();
        let killed = Instant::now();
        for gateway in &gateways {
            gateway.until_store(|store| store["store_up"] == false && !store["stale_since"].is_null()).await;
        }
        assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
        assert_eq!(gateways[0].patch(false).await, 503);
        redis.resume();
        let resumed = Instant::now();
        for gateway in &gateways {
            gateway.until_store(|store| store["store_up"] == true && store["stale_since"].is_null()).await;
        }
        // The longest wait between two tries is two seconds.
        assert!(resumed.elapsed() < Duration::from_secs(4), "{:?}", resumed.elapsed());
    }
    stop.store(true, SeqCst);
    for user in users {
        user.await.unwrap();
    }
    assert_eq!(failures.load(SeqCst), 0, "no request fails and no user is moved");
    assert_eq!(gateways[1].patch(false).await, 200);
    gateways[0].until_get(Some("stable")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_without_redis_and_follows_when_it_comes() {
    let mut redis = Server::start(&[]);
    let upstreams = [upstream("stable").await, upstream("canary").await];
    let folder = tempfile::tempdir().unwrap();
    redis.kill();
    // Without a backup: it listens, knows no flag and is not ready.
    let gateway = Gateway::start(&folder, redis.port, upstreams);
    gateway.until_get(Some("stable")).await;
    assert_eq!(gateway.is_ready().await, Some(false));
    redis.resume();
    until(async || gateway.is_ready().await == Some(true)).await;
    gateway.create(true).await;
    gateway.until_get(Some("canary")).await;
    // With one: what was good is served at once.
    let backup = folder.path().join("backup.json");
    until(async || fs::read_to_string(&backup).is_ok_and(|text| text.contains("default_value"))).await;
    drop(gateway);
    redis.kill();
    let began = Instant::now();
    let gateway = Gateway::start(&folder, redis.port, upstreams);
    gateway.until_get(Some("canary")).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(gateway.is_ready().await, Some(true));
    // It comes back empty: nothing is wiped.
    redis.resume();
    gateway.until_store(|store| store["alarm"]["because"] == "empty").await;
    assert_eq!(gateway.get().await.as_deref(), Some("canary"));
}
