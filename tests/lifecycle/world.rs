//! A gateway that tells a service manager of itself.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{net::UnixDatagram as Blocking, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use tempfile::TempDir;
use tokio::{
    net::UnixDatagram,
    time::{sleep, timeout},
};

use crate::upstream::{free, upstream};

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often something is done: in every run, and in a measured one.
pub(crate) fn rounds(always: usize, measured: usize) -> usize {
    if std::env::var("FLAGGATE_MEASURE").is_ok_and(|what| what == "full") { measured } else { always }
}

/// A gateway of the real binary; it and what took over from it are killed when dropped.
pub(crate) struct Gateway {
    /// Where it takes requests, HTTP/2 too.
    pub(crate) web: SocketAddr,
    /// Its admin API.
    pub(crate) admin: SocketAddr,
    /// The process that serves now.
    pub(crate) pid: Pid,
    folder: TempDir,
    manager: UnixDatagram,
    child: Child,
}

impl Gateway {
    /// Starts one, with this store, and waits until it serves.
    pub(crate) async fn start(store: &str) -> Self {
        Self::start_under(store, "").await
    }

    /// The same, with what a shell is told first.
    pub(crate) async fn start_under(store: &str, told: &str) -> Self {
        let (web, admin, folder) = (free(), free(), tempfile::tempdir().unwrap());
        let manager = Blocking::bind(folder.path().join("manager")).unwrap();
        manager.set_nonblocking(true).unwrap();
        let manager = UnixDatagram::from_std(manager).unwrap();
        let config = folder.path().join("flaggate.toml");
        fs::write(&config, configuration(web, admin, store, upstream("one").await)).unwrap();
        let log = fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        let child = Command::new("sh")
            .args(["-c", &format!("{told}\nexec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_flaggate"), "run", "--config"])
            .arg(&config)
            .current_dir(folder.path())
            .env("NOTIFY_SOCKET", folder.path().join("manager"))
            // The processes that take over are of its group too.
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mut gateway = Self { web, admin, pid, folder, manager, child };
        assert_eq!(gateway.told().await, Told::Serves(pid), "{}", gateway.log());
        gateway.pid = pid;
        gateway
    }

    /// What the gateway tells the service manager next.
    pub(crate) async fn told(&self) -> Told {
        let mut buffer = [0; 512];
        let received = timeout(PATIENCE, self.manager.recv(&mut buffer)).await;
        let received = received.unwrap_or_else(|_| panic!("nothing was told: {}", self.log())).unwrap();
        let text = str::from_utf8(&buffer[..received]).unwrap();
        if text == "STOPPING=1\n" {
            return Told::Stops;
        }
        assert!(text.starts_with("READY=1\n"), "{text}");
        let pid = text.lines().find_map(|line| line.strip_prefix("MAINPID=")).unwrap().parse().unwrap();
        Told::Serves(Pid::from_raw(pid).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Asks for an upgrade, and waits until the new process serves and the old one is gone.
    pub(crate) async fn upgrade(&mut self) {
        self.signal(Signal::QUIT);
        let Told::Serves(next) = self.told().await else { panic!("it stops") };
        let before = std::mem::replace(&mut self.pid, next);
        assert_ne!(before, next);
        self.until(async |gateway: &mut Self| {
            // The first is a child of this process, and stays known until it is asked for.
            gateway.has_ended();
            test_kill_process(before).is_err()
        })
        .await;
    }

    pub(crate) async fn until(&mut self, condition: impl AsyncFn(&mut Self) -> bool) {
        let by = tokio::time::Instant::now() + PATIENCE;
        while !condition(self).await {
            assert!(tokio::time::Instant::now() < by, "not in time: {}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether the process that was started here has ended, and well.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().inspect(|status| assert!(status.success(), "{status}")).is_some()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// A file of the gateway.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // All may have ended by themselves.
        kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
        self.child.wait().unwrap();
    }
}

/// What a service manager is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// This process serves.
    Serves(Pid),
    Stops,
}

fn configuration(web: SocketAddr, admin: SocketAddr, store: &str, upstream: SocketAddr) -> String {
    format!(
        "[[listeners]]\nname = \"web\"\naddress = \"{web}\"\nhttp2 = true\n[admin]\naddress = \"{admin}\"\n[store]\n{store}\n\
         [access_log]\npath = \"access.log\"\n[upstreams.u]\nendpoints = [{{ address = \"{upstream}\" }}]\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\n"
    )
}
