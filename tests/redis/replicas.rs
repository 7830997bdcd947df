//! Gateways of the real binary that share one Redis, upstreams, and users who keep asking.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use flaggate::clock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::upstream::free;
pub(crate) use crate::upstream::upstream;

/// Nothing takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    /// Where it takes requests.
    pub(crate) address: SocketAddr,
    /// Its admin API.
    pub(crate) admin: SocketAddr,
    folder: TempDir,
    process: Option<Child>,
    /// By how much its clock is wrong, as `faketime` takes it; empty: it is right.
    skew: &'static str,
}

/// A connection to a gateway that is kept.
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

/// Users who keep asking, each over a connection of their own.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    users: Vec<JoinHandle<Asked>>,
}

/// What users met.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// How long each answer took, in microseconds.
    pub(crate) micros: Vec<u32>,
    /// Answers that were not 200, and lost connections.
    pub(crate) failed: u64,
    /// Answers from another upstream than the one before.
    pub(crate) flipped: u64,
}

impl Gateway {
    /// A gateway with the route `shop`: users in `canary` go to `canary`, all others to `stable`. `store` is the section
    /// of the configuration, to which a backup is added; `more` is the rest.
    pub(crate) async fn start(upstreams: [SocketAddr; 2], store: &str, more: &str) -> Self {
        Self::start_skewed(upstreams, store, more, "").await
    }

    /// The same with a clock on the wall that is wrong, like `+3600s`.
    pub(crate) async fn start_skewed(upstreams: [SocketAddr; 2], store: &str, more: &str, skew: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = Self { address: free(), admin: free(), folder, process: None, skew };
        // Between the choice of a port and its use somebody else may take it.
        for _ in 0..10 {
            gateway.configure(upstreams, store, more);
            if gateway.run().await {
                return gateway;
            }
            (gateway.address, gateway.admin) = (free(), free());
        }
        let log = fs::read_to_string(gateway.folder.path().join("log")).unwrap();
        panic!("the gateway does not start: {log}");
    }

    fn configure(&self, [stable, canary]: [SocketAddr; 2], store: &str, more: &str) {
        let (address, admin, backup) = (self.address, self.admin, self.folder.path().join("backup.json"));
        let text = format!(
            "{more}\n[[listeners]]\nname = \"web\"\naddress = \"{address}\"\n[admin]\naddress = \"{admin}\"\n\
             [store]\n{store}\nbackup = {backup:?}\n[access_log]\nenabled = false\n\
             [context]\naccept_identity_from = \"anyone\"\nattributes = {{ plan = {{ header = \"X-Plan\" }} }}\n\
             [upstreams.stable]\nendpoints = [{{ address = \"{stable}\" }}]\n\
             [upstreams.canary]\nendpoints = [{{ address = \"{canary}\" }}]\n\
             [[routes]]\nname = \"shop\"\nupstream = \"stable\"\ncanary = {{ flag = \"canary\", upstream = \"canary\" }}\n"
        );
        fs::write(self.folder.path().join("flaggate.toml"), text).unwrap();
    }

    /// Starts it again, with its configuration and backup; gives the time until it listens.
    pub(crate) async fn resume(&mut self) -> Duration {
        let began = clock::monotonic();
        assert!(self.run().await, "the gateway does not start again");
        clock::monotonic() - began
    }

    /// Starts the process and waits until it listens; `false`: it ended.
    async fn run(&mut self) -> bool {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_flaggate"));
        if !self.skew.is_empty() {
            // The linker knows what `$LIB` is on this machine.
            command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1").env("FAKETIME", self.skew);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let process = command
            .args(["run", "--config"])
            .arg(self.folder.path().join("flaggate.toml"))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let process = self.process.insert(process);
        let by = clock::monotonic() + PATIENCE;
        while clock::monotonic() < by {
            let listens =
                TcpStream::connect(self.admin).await.is_ok() && TcpStream::connect(self.address).await.is_ok();
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            if listens {
                return true;
            }
            sleep(Duration::from_millis(2)).await;
        }
        false
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) async fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        let asked = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
        assert!(asked.success());
        tokio::task::spawn_blocking(move || process.wait().unwrap()).await.unwrap();
    }

    /// Removes its backup.
    pub(crate) fn lose_backup(&self) {
        fs::remove_file(self.folder.path().join("backup.json")).unwrap();
    }

    /// Whether its backup was written.
    pub(crate) fn has_backup(&self) -> bool {
        self.folder.path().join("backup.json").exists()
    }

    /// Its resident memory, in MiB.
    pub(crate) fn memory_mib(&self) -> f64 {
        let id = self.process.as_ref().unwrap().id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// A connection to it.
    pub(crate) fn client(&self) -> Client {
        Client { address: self.address, stream: None }
    }

    /// The status and the JSON of a request to its admin API.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = reqwest::Client::new()
            .request(method.parse().unwrap(), format!("http://{}{path}", self.admin))
            .timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Sends this share of users to the canary; `query` says whom to wait for.
    pub(crate) async fn set_canary(&self, percentage: u32, query: &str) -> (u16, Value) {
        let body = json!({ "rollout_percentage": percentage });
        self.ask("PATCH", &format!("/flags/canary{query}"), Some(body)).await
    }

    /// Waits until its status is as asked.
    pub(crate) async fn until_store(&self, what: &str, asked: impl Fn(&Value) -> bool) {
        until(what, async || asked(&self.ask("GET", "/diagnostics", None).await.1["store"])).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Client {
    /// The upstream that answers a user; `None`: the request failed.
    pub(crate) async fn get(&mut self, user: &str) -> Option<String> {
        let answer = timeout(PATIENCE, self.exchange(user)).await.unwrap_or(None);
        if answer.is_none() {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self, user: &str) -> Option<String> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut()?;
        let request = format!("GET / HTTP/1.1\r\nHost: shop\r\nX-User-Id: {user}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut text = Vec::with_capacity(512);
        loop {
            if stream.read_buf(&mut text).await.ok()? == 0 {
                return None;
            }
            let head = text.windows(4).position(|window| window == b"\r\n\r\n");
            // Both upstreams' names are six letters long.
            if let Some(head) = head.filter(|head| text.len() >= head + 10) {
                let body = String::from_utf8(text.split_off(head + 4)).ok()?;
                return text.starts_with(b"HTTP/1.1 200").then_some(body);
            }
        }
    }
}

impl Load {
    /// Starts `users` at each gateway; each asks, waits for the answer, pauses, and asks again.
    pub(crate) fn start(gateways: &[Gateway], users: usize, pause: Duration) -> Self {
        let (stop, number) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
        let users = gateways.iter().flat_map(|gateway| (0..users).map(|_| gateway.client())).map(|client| {
            let user = format!("user-{}", number.fetch_add(1, Relaxed));
            tokio::spawn(keep_asking(client, user, pause, Arc::clone(&stop)))
        });
        Self { users: users.collect(), stop }
    }

    /// Ends it.
    pub(crate) async fn end(self) -> Asked {
        self.stop.store(true, Relaxed);
        let mut all = Asked::default();
        for user in self.users {
            let asked = user.await.unwrap();
            all.micros.extend(asked.micros);
            all.failed += asked.failed;
            all.flipped += asked.flipped;
        }
        all.micros.sort_unstable();
        all
    }
}

impl Asked {
    /// A quantile of the answers' times, in milliseconds.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        let position = (last as f64 * quantile).round() as usize;
        self.micros.get(position).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }
}

async fn keep_asking(mut client: Client, user: String, pause: Duration, stop: Arc<AtomicBool>) -> Asked {
    let mut asked = Asked::default();
    let mut last: Option<String> = None;
    while !stop.load(Relaxed) {
        let began = clock::monotonic();
        match client.get(&user).await {
            Some(upstream) => {
                asked.micros.push(u32::try_from((clock::monotonic() - began).as_micros()).unwrap());
                asked.flipped += u64::from(last.as_ref().is_some_and(|last| *last != upstream));
                last = Some(upstream);
            }
            None => asked.failed += 1,
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    asked
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("it did not come to pass that {what}"));
}
