//! Debian's Prometheus.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A Prometheus in a process of its own; killed when dropped.
pub(crate) struct Prometheus {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    process: Child,
}

impl Prometheus {
    /// Listens at this address, and scrapes these five times a second.
    pub(crate) fn start(address: SocketAddr, scraped: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let scraped: Vec<String> = scraped.iter().map(ToString::to_string).collect();
        let text = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\nscrape_configs:\n\
             - {{ job_name: flaggate, static_configs: [{{ targets: {scraped:?} }}] }}\n"
        );
        fs::write(&config, text).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::from(fs::File::create(folder.path().join("log")).unwrap()))
            .spawn()
            .expect("prometheus is installed: scripts/setup test");
        Self { address, folder, process }
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Where it is asked.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
