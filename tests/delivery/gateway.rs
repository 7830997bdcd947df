//! Gateways of the real binary that share one Redis, with upstreams whose answers a test decides.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use flaggate::clock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

use crate::{server::Server, upstream::free};

/// Nothing takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An upstream that fails as often as it is told to.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// Of a thousand requests.
    pub(crate) failing: Arc<AtomicU64>,
    pub(crate) asked: Arc<AtomicU64>,
}

/// A gateway; killed when dropped.
pub(crate) struct Gateway {
    pub(crate) web: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// More of the environment that it runs in.
    pub(crate) environment: Vec<(&'static str, String)>,
    folder: TempDir,
    process: Option<Child>,
}

/// Users who keep asking.
pub(crate) struct Users {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), failing: Arc::default(), asked: Arc::default() };
        let shared = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(shared.clone().answer(stream));
            }
        });
        upstream
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while let Ok(1..) = stream.read_buf(&mut head).await {
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            head.clear();
            let number = self.asked.fetch_add(1, Relaxed);
            // Spread evenly, the same each time.
            let fails = number * 7919 % 1000 < self.failing.load(Relaxed);
            let status = if fails { "500 Internal Server Error" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

impl Gateway {
    /// A gateway with the route `shop`: `stable`, a canary `canary`, and the sides `blue` and `green`.
    pub(crate) async fn start(name: &str, redis: u16, upstreams: &[(&str, &Upstream)]) -> Self {
        Self::start_with(name, redis, upstreams, "", Vec::new()).await
    }

    /// The same with more of a configuration, and an environment.
    pub(crate) async fn start_with(
        name: &str,
        redis: u16,
        upstreams: &[(&str, &Upstream)],
        more: &str,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = Self { web: free(), admin: free(), environment, folder, process: None };
        // Between the choice of a port and its use somebody else may take it.
        for _ in 0..10 {
            let (web, admin) = (gateway.web, gateway.admin);
            let upstreams: String = upstreams
                .iter()
                .map(|(name, upstream)| {
                    format!("[upstreams.{name}]\nendpoints = [{{ address = \"{}\" }}]\n", upstream.address)
                })
                .collect();
            let text = format!(
                "{more}\n[server]\nname = \"{name}\"\nworkers = 1\n[[listeners]]\nname = \"web\"\naddress = \"{web}\"\n[admin]\naddress = \"{admin}\"\n\
                 [store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{redis}\"\n[access_log]\nenabled = false\n\
                 [context]\naccept_identity_from = \"anyone\"\nuser_id = [{{ header = \"X-User-Id\" }}]\n{upstreams}\
                 [[routes]]\nname = \"shop\"\nupstream = \"stable\"\nflags = [\"feature\"]\n\
                 canary = {{ flag = \"shop-canary\", upstream = \"canary\" }}\n\
                 blue_green = {{ flag = \"shop-side\", blue = \"blue\", green = \"green\" }}\n"
            );
            fs::write(gateway.folder.path().join("flaggate.toml"), text).unwrap();
            if gateway.run().await {
                return gateway;
            }
            (gateway.web, gateway.admin) = (free(), free());
        }
        panic!("the gateway does not start: {}", gateway.log());
    }

    /// Starts it, with its configuration; `false`: it ended.
    pub(crate) async fn run(&mut self) -> bool {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(["run", "--config"])
            .arg(self.folder.path().join("flaggate.toml"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let process = self.process.insert(process);
        let by = clock::monotonic() + PATIENCE;
        while clock::monotonic() < by {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(self.admin).await.is_ok() && TcpStream::connect(self.web).await.is_ok() {
                return true;
            }
            sleep(Duration::from_millis(5)).await;
        }
        false
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_dead(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some())
    }

    /// Whether it was stopped by a signal, and may go on.
    pub(crate) fn is_asleep(&self) -> bool {
        let id = self.process.as_ref().unwrap().id();
        // The state follows the name, which is in parentheses.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Sends a signal: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// The run of a gateway that has the lease.
    pub(crate) fn holder(redis: &Server) -> String {
        let lease = redis.ask(&["GET", "flaggate:lease"]);
        lease.splitn(3, ':').nth(2).unwrap_or_default().to_owned()
    }

    /// The name of this run of the gateway, as the lease has it.
    pub(crate) async fn id(&self, name: &str) -> String {
        let gateways = self.get("/gateways").await;
        let all = gateways["gateways"].as_array().unwrap();
        // An earlier run of it has a lower id.
        let own = all.iter().filter(|gateway| gateway["name"] == name).filter_map(|gateway| gateway["id"].as_str());
        own.max().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap().text().await.unwrap()
    }

    /// The status and the JSON of an answer.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let client = reqwest::Client::new();
        let request = client.request(method.parse().unwrap(), format!("http://{}{path}", self.admin));
        let response = request.json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }

    /// The same of a gateway that may die or fall asleep before it answers; nothing: it did.
    pub(crate) async fn try_send(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
        let request = client.request(method.parse().unwrap(), format!("http://{}{path}", self.admin));
        let response = request.json(body).send().await.ok()?;
        Some((response.status().as_u16(), response.json().await.unwrap_or_default()))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send("POST", path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// The flags that deployments of tests change.
    pub(crate) async fn fill(&self) {
        for flag in [
            json!({ "key": "shop-canary", "name": "canary", "enabled": true, "rollout_enabled": true, "rollout_percentage": 0 }),
            json!({ "key": "shop-side", "name": "side", "flag_type": "string", "default_value": "blue", "variants": { "blue": "blue", "green": "green" } }),
            json!({ "key": "feature", "name": "feature" }),
        ] {
            self.post("/flags?wait=all", &flag).await;
        }
    }

    /// Waits until a deployment is so, and gives its status and how long that took.
    pub(crate) async fn until(&self, id: &str, what: impl Fn(&Value) -> bool) -> (Value, Duration) {
        let began = clock::monotonic();
        loop {
            let status = self.get(&format!("/deployments/{id}")).await["status"].take();
            if what(&status) {
                return (status, clock::monotonic() - began);
            }
            assert!(clock::monotonic() - began < PATIENCE, "{status:#}\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The upstream that a user would get.
    pub(crate) async fn percentage(&self, flag: &str) -> f64 {
        self.get(&format!("/flags/{flag}")).await["rollout_percentage"].as_f64().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Users {
    /// Users who ask these gateways in turn, so many requests a second in all.
    pub(crate) fn start(gateways: &[&Gateway], users: u64, per_second: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = gateways.iter().enumerate().map(|(part, gateway)| {
            let (stop, address) = (stop.clone(), gateway.web);
            let (parts, each) = (gateways.len() as u64, per_second / gateways.len() as u64);
            tokio::spawn(ask(stop, address, part as u64, parts, users, each))
        });
        Self { tasks: tasks.collect(), stop }
    }

    pub(crate) async fn stop(self) {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Asks in a fixed rhythm, over one connection.
async fn ask(stop: Arc<AtomicBool>, address: SocketAddr, part: u64, parts: u64, users: u64, per_second: u64) {
    let pause = Duration::from_secs(1) / u32::try_from(per_second).unwrap();
    let mut next: Instant = clock::monotonic();
    let (mut stream, mut number) = (None, part);
    let mut answer = Vec::new();
    while !stop.load(Relaxed) {
        let connection = match &mut stream {
            Some(connection) => connection,
            none => match TcpStream::connect(address).await {
                Ok(connection) => none.insert(connection),
                Err(_) => {
                    sleep(pause).await;
                    continue;
                }
            },
        };
        let request = format!("GET / HTTP/1.1\r\nHost: shop\r\nX-User-Id: user-{}\r\n\r\n", number % users);
        number += parts;
        answer.clear();
        let done = async {
            connection.write_all(request.as_bytes()).await?;
            while !answer.ends_with(b"\r\n\r\nok") {
                if connection.read_buf(&mut answer).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok::<_, std::io::Error>(())
        };
        if !matches!(tokio::time::timeout(Duration::from_secs(2), done).await, Ok(Ok(()))) {
            stream = None;
        }
        next += pause;
        tokio::time::sleep_until(next.into()).await;
    }
}
