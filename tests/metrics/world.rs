//! Gateways of the real binary, an upstream that keeps what it is told, and what `/metrics` says.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use flaggate::clock;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Nothing takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An address where nobody listens.
pub(crate) fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The whole measure where it is asked for, else what is soon done.
pub(crate) fn many(full: u64, few: u64) -> u64 {
    if std::env::var("FLAGGATE_MEASURE").is_ok_and(|measure| measure == "full") { full } else { few }
}

/// What one request was told to its upstream, and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    /// The value of `X-Flaggate-Route`.
    pub(crate) route: String,
    /// The value of `X-Flags`.
    pub(crate) flags: String,
    /// `2xx` and so on: what the gateway answers the client with.
    pub(crate) class: &'static str,
}

/// An upstream. It answers `/status/404` with 404, `/die` with nothing, `/length` and `/extra` with what is no answer, and all
/// else with 200.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<BTreeMap<Told, u64>>>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), told: Arc::default() };
        let shared = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move { shared.serve(stream).await });
            }
        });
        upstream
    }

    /// How often it was told what.
    pub(crate) fn told(&self) -> BTreeMap<Told, u64> {
        self.told.lock().unwrap().clone()
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut buffer = Vec::new();
        loop {
            let head = read_head(&mut stream, &mut buffer).await?;
            let path = head.split(' ').nth(1)?.to_owned();
            let header = |name: &str| {
                let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
                line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
            };
            let status = path.strip_prefix("/status/").map_or("200", |status| &status[..3]).to_owned();
            let dies = path.starts_with("/die");
            let class = match (dies, status.as_bytes()[0]) {
                (true, _) | (false, b'5') => "5xx",
                (false, b'4') => "4xx",
                (false, b'3') => "3xx",
                (false, _) => "2xx",
            };
            if path != "/healthz" {
                let told = Told { route: header("x-flaggate-route"), flags: header("x-flags"), class };
                *self.told.lock().unwrap().entry(told).or_default() += 1;
            }
            if dies {
                return None;
            }
            let answer = match path.as_str() {
                // What it says of its length is what it was told by the client.
                "/length" => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nok", header("x-echo")),
                "/extra" => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more".to_owned(),
                _ => format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok"),
            };
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }
}

/// Reads up to the end of a head; what comes after stays in the buffer.
pub(crate) async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            return Some(String::from_utf8_lossy(&buffer.drain(..at + 4).collect::<Vec<u8>>()).into_owned());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// A gateway in a process of its own; killed when dropped.
pub(crate) struct Gateway {
    pub(crate) web: SocketAddr,
    pub(crate) admin: SocketAddr,
    folder: TempDir,
    process: Child,
}

impl Gateway {
    /// A gateway with this section `store`, its upstreams and routes in `more`, and a log of requests.
    pub(crate) async fn start(store: &str, more: &str) -> Self {
        Self::start_logging(store, more, "").await
    }

    /// The same, with what `FLAGGATE_LOG` says.
    pub(crate) async fn start_logging(store: &str, more: &str, log: &str) -> Self {
        // Between the choice of a port and its use somebody else may take it.
        for _ in 0..10 {
            let mut gateway = Self::run(store, more, log);
            if gateway.listens().await {
                return gateway;
            }
        }
        panic!("the gateway does not start");
    }

    fn run(store: &str, more: &str, level: &str) -> Self {
        let (web, admin, folder) = (free(), free(), tempfile::tempdir().unwrap());
        let log = folder.path().join("access.log");
        let text = format!(
            "[[listeners]]\nname = \"web\"\naddress = \"{web}\"\n[admin]\naddress = \"{admin}\"\n[store]\n{store}\n\
             [access_log]\npath = {log:?}\n[server]\nworkers = 2\n[context]\naccept_identity_from = \"anyone\"\n\
             user_id = [{{ header = \"X-User-Id\" }}]\nattributes = {{ plan = {{ header = \"X-Plan\" }} }}\n{more}\n"
        );
        fs::write(folder.path().join("flaggate.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_flaggate"));
        if !level.is_empty() {
            command.env("FLAGGATE_LOG", level);
        }
        let process = command
            .args(["run", "--config"])
            .arg(folder.path().join("flaggate.toml"))
            .stderr(Stdio::from(fs::File::create(folder.path().join("log")).unwrap()))
            .spawn()
            .unwrap();
        Self { web, admin, folder, process }
    }

    async fn listens(&mut self) -> bool {
        let by = clock::monotonic() + PATIENCE;
        while TcpStream::connect(self.web).await.is_err() {
            if self.process.try_wait().unwrap().is_some() {
                assert!(self.log().contains("listen"), "{}", self.log());
                return false;
            }
            assert!(clock::monotonic() < by, "the gateway does not start: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// What the process logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Where requests are logged.
    pub(crate) fn access_log(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    /// The status and the answer of the admin API.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request =
            reqwest::Client::new().request(method.parse().unwrap(), format!("http://{}{path}", self.admin));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.timeout(PATIENCE).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The same where all is well.
    pub(crate) async fn tell(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, Some(body)).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer:#}");
        answer
    }

    /// Adds this to its configuration, and has that read anew.
    pub(crate) async fn configure(&self, more: &str) {
        let path = self.folder.path().join("flaggate.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text + more).unwrap();
        let (status, answer) = self.ask("POST", "/config/reload", None).await;
        assert_eq!(status, 200, "{answer:#}");
    }

    /// What `/metrics` says to who accepts this.
    pub(crate) async fn exposed(&self, accept: &str) -> (String, String) {
        let asked = reqwest::Client::new().get(format!("http://{}/metrics", self.admin)).header("Accept", accept);
        let answer = asked.send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, answer.text().await.unwrap())
    }

    /// All series.
    pub(crate) async fn metrics(&self) -> Series {
        Series::parse(&self.exposed("text/plain").await.1)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Values by name and labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(pub(crate) BTreeMap<(String, BTreeMap<String, String>), f64>);

impl Series {
    fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap();
            // No label of these tests has a comma or a quotation mark.
            let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
                let (name, value) = label.split_once('=').unwrap();
                (name.to_owned(), value.trim_matches('"').to_owned())
            });
            ((name.to_owned(), labels.collect()), value.parse().unwrap())
        });
        Self(series.collect())
    }

    /// Adds another gateway's.
    pub(crate) fn add(&mut self, other: Self) {
        for (series, value) in other.0 {
            *self.0.entry(series).or_default() += value;
        }
    }

    /// The counts of a metric by these of its labels; what is 0 is left out.
    pub(crate) fn by(&self, name: &str, labels: &[&str]) -> BTreeMap<Vec<String>, u64> {
        let mut counts: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for ((_, known), value) in self.0.iter().filter(|((known, _), _)| known == name) {
            let key = labels.iter().map(|label| known.get(*label).cloned().unwrap_or_default()).collect();
            *counts.entry(key).or_default() += *value as u64;
        }
        counts.retain(|_, count| *count > 0);
        counts
    }

    /// The sum of a metric.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        self.by(name, &[]).values().sum()
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let by = clock::monotonic() + PATIENCE;
    while !condition().await {
        assert!(clock::monotonic() < by, "it did not come to pass that {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
