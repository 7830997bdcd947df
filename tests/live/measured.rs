//! What the promises about the live feed come to in figures. Small by default, as a guard that is never close; with
//! `FLAGGATE_MEASURE=full` in the sizes of `docs/performance.md`, whose table it prints.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flaggate::clock;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{Instant, interval, sleep},
};

use crate::harness::{PATIENCE, Socket, number, shake_hands};

/// How much is done.
struct Size {
    flags: usize,
    clients: usize,
    mute: usize,
    changes: usize,
    /// The bounds that must hold: the slowest of 99 in 100, and what that may grow by with the mute.
    p99: Duration,
    more: Duration,
}

const FULL: Size = Size {
    flags: 10_000,
    clients: 1000,
    mute: 50,
    changes: 300,
    p99: Duration::from_millis(250),
    more: Duration::from_millis(100),
};

const SMALL: Size =
    Size { flags: 1000, clients: 40, mute: 10, changes: 20, p99: Duration::from_secs(2), more: Duration::from_secs(2) };

/// What the mute may cost in memory.
const MORE_KIB: u64 = 64 << 10;

/// The pause between two changes.
const EVERY: Duration = Duration::from_millis(100);

/// A gateway in a process of its own, with its flags in memory.
struct Gateway {
    admin: SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Gateway {
    async fn start(flags: usize) -> Self {
        let (admin, folder) = (free(), tempfile::tempdir().unwrap());
        let seed: Vec<Value> =
            (0..flags).map(|number| json!({ "key": format!("flag-{number}"), "name": "f" })).collect();
        fs::write(folder.path().join("seed.json"), json!(seed).to_string()).unwrap();
        let text = format!(
            "[[listeners]]\nname = \"web\"\naddress = \"{}\"\n[admin]\naddress = \"{admin}\"\n[store]\nkind = \"memory\"\n\
             seed = {:?}\n[access_log]\nenabled = false\n[upstreams.u]\nendpoints = [{{ address = \"127.0.0.1:9\" }}]\n\
             [[routes]]\nname = \"all\"\nupstream = \"u\"\n",
            free(),
            folder.path().join("seed.json")
        );
        fs::write(folder.path().join("flaggate.toml"), text).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(["run", "--config"])
            .arg(folder.path().join("flaggate.toml"))
            .env("FLAGGATE_LOG", "warn")
            .stderr(Stdio::from(fs::File::create(folder.path().join("log")).unwrap()))
            .spawn()
            .unwrap();
        let gateway = Self { admin, process, _folder: folder };
        let by = clock::monotonic() + PATIENCE;
        let ready = format!("http://{admin}/readyz");
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status() == 200) {
            assert!(clock::monotonic() < by, "the gateway does not start");
            sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    /// The memory that is in use, in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    async fn connect(&self, narrow: bool) -> Socket {
        let stream = if narrow {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            socket.connect(self.admin).await.unwrap()
        } else {
            TcpStream::connect(self.admin).await.unwrap()
        };
        let mut socket = shake_hands(stream, self.admin, None).await.unwrap();
        socket.say(r#"{"subscribe": ["flags"]}"#).await;
        socket
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// When each change was asked for, by the number of its revision.
#[derive(Default)]
struct Times {
    sent: Mutex<Vec<(u64, Instant)>>,
    taken: Mutex<Vec<Duration>>,
    heard: AtomicUsize,
}

impl Times {
    fn hear(&self, revision: u64) {
        let now = Instant::now();
        let sent = self.sent.lock().unwrap().iter().find(|(number, _)| *number == revision).map(|(_, sent)| *sent);
        // Several changes may be told with the revision of the last of them.
        self.taken.lock().unwrap().extend(sent.map(|sent| now - sent));
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// The slowest of 99 in 100, and the slowest of all.
    fn worst(&self) -> (Duration, Duration) {
        let mut taken = self.taken.lock().unwrap();
        taken.sort();
        (taken[taken.len() * 99 / 100], *taken.last().unwrap())
    }
}

/// Reads for ever.
fn read(mut socket: Socket, times: Arc<Mutex<Arc<Times>>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let told = socket.hear().await;
            if told["type"] == "flag_update" {
                let times = Arc::clone(&times.lock().unwrap());
                times.hear(number(&told["revision"]));
            }
        }
    })
}

/// Changes flags one after the other, ten a second, and gives the times when every client has heard of each.
async fn change(gateway: &Gateway, size: &Size, first: u64, times: &Mutex<Arc<Times>>) -> Arc<Times> {
    let round = Arc::new(Times::default());
    *times.lock().unwrap() = Arc::clone(&round);
    let (client, mut tick) = (Client::new(), interval(EVERY));
    for change in 0..size.changes {
        tick.tick().await;
        round.sent.lock().unwrap().push((first + change as u64, Instant::now()));
        let url = format!("http://{}/flags/flag-{}", gateway.admin, change % 100);
        let body = json!({ "description": format!("{first} {change}") });
        assert_eq!(client.patch(url).json(&body).send().await.unwrap().status(), 200);
    }
    let by = Instant::now() + PATIENCE;
    while round.heard.load(Ordering::Relaxed) < size.changes * size.clients {
        assert!(Instant::now() < by, "{} of {}", round.heard.load(Ordering::Relaxed), size.changes * size.clients);
        sleep(Duration::from_millis(10)).await;
    }
    round
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_and_some_that_never_read() {
    let size = if std::env::var("FLAGGATE_MEASURE").is_ok_and(|size| size == "full") { FULL } else { SMALL };
    let gateway = Gateway::start(size.flags).await;
    let times = Arc::new(Mutex::new(Arc::new(Times::default())));
    let (mut readers, mut revision) = (Vec::new(), 0);
    for _ in 0..size.clients {
        let mut socket = gateway.connect(false).await;
        let (keys, shown) = socket.snapshot().await;
        assert_eq!(keys.len(), size.flags);
        revision = number(&json!(shown));
        readers.push(read(socket, Arc::clone(&times)));
    }
    let alone = change(&gateway, &size, revision + 1, &times).await;
    let before = gateway.memory();
    let mut mute = Vec::new();
    for _ in 0..size.mute {
        mute.push(gateway.connect(true).await);
    }
    let beside = change(&gateway, &size, revision + 1 + size.changes as u64, &times).await;
    let after = gateway.memory();
    let ((p99, most), (p99_beside, most_beside)) = (alone.worst(), beside.worst());
    println!("| {} clients, {} flags, 10 changes/s: p99, worst | {p99:.1?}, {most:.1?} |", size.clients, size.flags);
    println!("| beside {} that never read: p99, worst | {p99_beside:.1?}, {most_beside:.1?} |", size.mute);
    println!("| memory of the gateway before and after those | {} MiB, {} MiB |", before >> 10, after >> 10);
    assert!(p99 <= size.p99, "{p99:?}");
    assert!(p99_beside <= p99 + size.more, "{p99_beside:?}");
    assert!(after <= before + MORE_KIB, "{before} KiB, then {after} KiB");
    for reader in readers {
        assert!(!reader.is_finished(), "a client that reads was sent away");
        reader.abort();
    }
    drop(mute);
}

/// An address where nobody listens.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
