//! Three gateways over one Redis, and five upstreams.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use flaggate::{clock, demo};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::server::{Server, free_port};

/// Nothing takes longer unless it is broken.
const PATIENCE: Duration = Duration::from_secs(120);

const UPSTREAMS: [&str; 5] = ["blue", "green", "canary", "fast", "shadow"];

pub(crate) struct World {
    faults: demo::Faults,
    gateways: Vec<Gateway>,
    http: reqwest::Client,
    upstreams: CancellationToken,
    _redis: Server,
}

struct Gateway {
    web: SocketAddr,
    admin: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// `more` is added to the configuration.
    pub(crate) async fn start_with(more: &str) -> Self {
        let (redis, faults, upstreams) = (Server::start(&[]), demo::Faults::default(), CancellationToken::new());
        let any = UPSTREAMS.map(|name| (name.to_owned(), SocketAddr::from(([127, 0, 0, 1], 0))));
        let running = demo::upstreams(&any, &faults, upstreams.clone()).await.unwrap();
        let addresses = running.addresses().to_vec();
        running.detach();
        let mut gateways = Vec::new();
        for _ in 0..3 {
            gateways.push(Gateway::start(redis.port, &addresses, more).await);
        }
        Self { faults, gateways, http: reqwest::Client::new(), upstreams, _redis: redis }
    }

    /// Where the gateways take requests.
    pub(crate) fn gateways(&self) -> Vec<SocketAddr> {
        self.gateways.iter().map(|gateway| gateway.web).collect()
    }

    /// Their admin APIs.
    pub(crate) fn admins(&self) -> Vec<SocketAddr> {
        self.gateways.iter().map(|gateway| gateway.admin).collect()
    }

    /// From now on this share of an upstream's requests fails.
    pub(crate) fn fails(&self, upstream: &str, share: f64) {
        self.faults.set(upstream, share, Duration::ZERO);
    }

    /// From now on an upstream takes so long.
    pub(crate) fn delays(&self, upstream: &str, delay: Duration) {
        self.faults.set(upstream, 0.0, delay);
    }

    /// Changes a flag everywhere.
    pub(crate) async fn set_flag(&self, key: &str, fields: Value) {
        let (status, answer) = self.ask("PATCH", &format!("/flags/{key}?wait=all"), Some(fields)).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Stores a deployment and starts it.
    pub(crate) async fn deploy(&self, document: Value) {
        let (status, answer) = self.ask("POST", "/deployments?wait=all", Some(document)).await;
        assert!((200..300).contains(&status), "{answer}");
        self.begin().await;
    }

    /// Puts another version in its place and starts that.
    pub(crate) async fn redeploy(&self, document: Value) {
        let (status, answer) = self.ask("PUT", "/deployments/checkout?wait=all", Some(document)).await;
        assert!((200..300).contains(&status), "{answer}");
        self.begin().await;
    }

    async fn begin(&self) {
        let (status, answer) = self.ask("POST", "/deployments/checkout/start?wait=all", Some(json!({}))).await;
        assert!((200..300).contains(&status), "{answer}");
    }

    /// Waits until the deployment is as asked; it must not end before.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let by = clock::monotonic() + PATIENCE;
        loop {
            let status = self.status().await;
            if is_so(&status) {
                return;
            }
            assert!(!is_ended(&status) && clock::monotonic() < by, "it did not come to pass that {what}: {status:#}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the deployment has ended.
    pub(crate) async fn until_ended(&self) -> Value {
        let by = clock::monotonic() + PATIENCE;
        loop {
            let status = self.status().await;
            if is_ended(&status) {
                return status;
            }
            assert!(clock::monotonic() < by, "it does not end: {status:#}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn flag(&self, key: &str) -> Value {
        self.ask("GET", &format!("/flags/{key}"), None).await.1
    }

    /// The flags that the conductor wrote, the newest write first.
    pub(crate) async fn written_flags(&self) -> Vec<String> {
        let (_, audit) = self.ask("GET", "/audit?kind=flag&limit=50", None).await;
        let entries = audit["entries"].as_array().unwrap();
        let by_conductor = entries.iter().filter(|entry| entry["actor"] == "conductor");
        by_conductor.map(|entry| entry["key"].as_str().unwrap().to_owned()).collect()
    }

    async fn status(&self) -> Value {
        self.ask("GET", "/deployments/checkout", None).await.1["status"].clone()
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("http://{}{path}", self.gateways[0].admin);
        let mut request = self.http.request(method.parse().unwrap(), url).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.upstreams.cancel();
    }
}

impl Gateway {
    async fn start(redis: u16, upstreams: &[(String, SocketAddr)], more: &str) -> Self {
        // Between the choice of a port and its use somebody else may take it.
        for _ in 0..10 {
            let mut gateway = Self::run(redis, upstreams, more);
            if gateway.listens().await {
                return gateway;
            }
        }
        panic!("the gateway does not start");
    }

    fn run(redis: u16, upstreams: &[(String, SocketAddr)], more: &str) -> Self {
        let free = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (web, admin, folder) = (free(), free(), tempfile::tempdir().unwrap());
        let flags = json!([
            { "key": "color", "name": "Side", "flag_type": "string", "default_value": "blue",
              "variants": { "blue": "blue", "green": "green" } },
            { "key": "one-click", "name": "One click", "flag_type": "boolean", "default_value": false },
            { "key": "canary", "name": "Canary", "flag_type": "boolean", "default_value": false },
            { "key": "copies", "name": "Copies", "flag_type": "boolean", "default_value": false },
        ]);
        let seed = folder.path().join("seed.json");
        fs::write(&seed, flags.to_string()).unwrap();
        let upstreams: Vec<String> = upstreams
            .iter()
            .map(|(name, address)| format!("[upstreams.{name}]\nendpoints = [{{ address = \"{address}\" }}]\n"))
            .collect();
        let config = format!(
            "{more}[[listeners]]\nname = \"web\"\naddress = \"{web}\"\n[admin]\naddress = \"{admin}\"\n\
             [store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{redis}\"\nseed = {seed:?}\n\
             [access_log]\nenabled = false\n[context]\naccept_identity_from = \"anyone\"\n{}\
             [[routes]]\nname = \"shop\"\nupstream = \"blue\"\n\
             features = [{{ flag = \"one-click\", variations = {{ \"true\" = \"fast\" }} }}]\n\
             canary = {{ flag = \"canary\", upstream = \"canary\" }}\n\
             blue_green = {{ flag = \"color\", blue = \"blue\", green = \"green\" }}\n\
             mirror = {{ flag = \"copies\", upstream = \"shadow\" }}\n",
            upstreams.concat()
        );
        let path = folder.path().join("flaggate.toml");
        fs::write(&path, config).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(["run", "--config"])
            .arg(path)
            .stderr(Stdio::from(fs::File::create(folder.path().join("log")).unwrap()))
            .spawn()
            .unwrap();
        Self { web, admin, process, _folder: folder }
    }

    /// Waits until it takes requests; `false`: it ended, as somebody has its port.
    async fn listens(&mut self) -> bool {
        let by = clock::monotonic() + PATIENCE;
        while TcpStream::connect(self.web).await.is_err() || TcpStream::connect(self.admin).await.is_err() {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(clock::monotonic() < by, "the gateway does not start");
            sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn is_ended(status: &Value) -> bool {
    ["completed", "failed", "rolled_back"].iter().any(|state| status["state"] == *state)
}
