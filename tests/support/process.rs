//! A gateway of the real binary, over a store in memory.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use flaggate::clock;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};

use crate::upstream::free;

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway in a process of its own; killed when dropped.
pub(crate) struct Process {
    /// Where it takes requests.
    pub(crate) web: SocketAddr,
    /// Its admin API.
    pub(crate) admin: SocketAddr,
    /// Where its files are.
    pub(crate) folder: TempDir,
    /// The process itself.
    pub(crate) process: Child,
}

impl Process {
    /// A gateway whose store holds these flags. `more` is the rest of the configuration.
    pub(crate) async fn start(flags: &Value, more: &str) -> Self {
        // Between the choice of a port and its use somebody else may take it.
        for _ in 0..10 {
            let mut gateway = Self::run(flags, more);
            if gateway.listens().await {
                return gateway;
            }
        }
        panic!("the gateway does not start");
    }

    fn run(flags: &Value, more: &str) -> Self {
        let (web, admin, folder) = (free(), free(), tempfile::tempdir().unwrap());
        let (seed, config) = (folder.path().join("seed.json"), folder.path().join("flaggate.toml"));
        let text = format!(
            "{more}\n[[listeners]]\nname = \"web\"\naddress = \"{web}\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
             [admin]\naddress = \"{admin}\"\n[store]\nkind = \"memory\"\nseed = {seed:?}\n[access_log]\nenabled = false\n"
        );
        fs::write(&seed, flags.to_string()).unwrap();
        fs::write(&config, text).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(["run", "--config"])
            .arg(config)
            .stderr(Stdio::from(fs::File::create(folder.path().join("log")).unwrap()))
            .spawn()
            .unwrap();
        Self { web, admin, folder, process }
    }

    /// Waits until it takes requests; `false`: it ended, as somebody has its port.
    async fn listens(&mut self) -> bool {
        let by = clock::monotonic() + PATIENCE;
        while TcpStream::connect(self.web).await.is_err() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
            if self.process.try_wait().unwrap().is_some() {
                assert!(log.contains("listen"), "{log}");
                return false;
            }
            assert!(clock::monotonic() < by, "the gateway does not start: {log}");
            sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
