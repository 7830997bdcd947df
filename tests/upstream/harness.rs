//! A real gateway, real upstreams and real clients, on loopback.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use async_trait::async_trait;
use flaggate::{
    config::{Config, Current},
    drain::Drain,
    gateway::{self, Parts, RoutingCell, Sources},
    model::{DocumentKey, WorldRevision},
    profiles::{Profiles, Source},
    recent::Recent,
    snapshot::{Publisher, SnapshotCell, World},
    telemetry::{AccessLog, Arms, Metrics, Observers},
};
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::watch,
};

/// How often something is done: in every run, and in a measured one.
pub(crate) fn rounds(always: usize, measured: usize) -> usize {
    if std::env::var("FLAGGATE_MEASURE").is_ok_and(|what| what == "full") { measured } else { always }
}

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What an upstream does with a request that it has read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    /// 200 with this body; the connection stays.
    Answer(&'static str),
    /// These bytes, then the connection is closed.
    Raw(&'static str),
    /// Nothing, for ever.
    Silent,
    /// The connection is closed without an answer, from the second request of a connection on.
    CloseReused,
    /// The same, with a reset.
    ResetReused,
    /// 101, then every byte is sent back.
    Echo,
}

/// A small upstream.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut connections = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.spawn(serve(stream, behaviour, Arc::clone(&seen)));
                }
            }
        });
        Self { address, seen, task }
    }

    /// The requests that came, head and body, in order.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The same, and gives how many requests came.
    pub(crate) async fn kill(self) -> usize {
        let seen = Arc::clone(&self.seen);
        self.stop().await;
        seen.lock().unwrap().len()
    }

    /// Stops it: nobody listens there any more.
    pub(crate) async fn stop(self) {
        self.task.abort();
        self.task.await.ok();
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, seen: Arc<Mutex<Vec<String>>>) {
    let mut buffer = Vec::new();
    let mut served = 0;
    while let Some((head, body)) = read_message(&mut stream, &mut buffer).await {
        if !head.starts_with("GET /healthz ") {
            seen.lock().unwrap().push(head + &String::from_utf8_lossy(&body));
        }
        served += 1;
        let answer = match behaviour {
            Behaviour::Answer(body) => answer(body),
            Behaviour::CloseReused | Behaviour::ResetReused if served == 1 => answer("first"),
            Behaviour::CloseReused => return,
            Behaviour::ResetReused => return stream.set_zero_linger().unwrap(),
            Behaviour::Raw(text) => {
                stream.write_all(text.as_bytes()).await.ok();
                return;
            }
            Behaviour::Silent => std::future::pending().await,
            Behaviour::Echo => {
                let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                let (mut reading, mut writing) = stream.split();
                tokio::io::copy(&mut reading, &mut writing).await.ok();
                return;
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Reads one message: its head with the empty line, and its body. None at the end of the connection.
async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let length = if header(&head, "transfer-encoding").is_some() {
        loop {
            if let Some(at) = buffer.windows(5).position(|window| window == b"0\r\n\r\n") {
                break at + 5;
            }
            if stream.read_buf(buffer).await.ok()? == 0 {
                break buffer.len();
            }
        }
    } else if head.starts_with("HTTP/1.1 1") || head.starts_with("HTTP/1.1 204") {
        0
    } else {
        header(&head, "content-length").map_or(0, |length| length.parse().unwrap())
    };
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            break;
        }
    }
    let body = buffer.drain(..length.min(buffer.len())).collect();
    Some((head, body))
}

/// The first value of a header in a head.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// The next response; none when the connection ended before one.
    pub(crate) async fn receive(&mut self) -> Option<Response> {
        let reading = read_message(&mut self.stream, &mut self.buffer);
        let (head, body) = tokio::time::timeout(PATIENCE, reading).await.expect("a response comes in time")?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Response { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }

    pub(crate) async fn request(&mut self, request: &str) -> Response {
        self.send(request).await;
        self.receive().await.expect("the gateway answers")
    }

    /// Everything until the connection ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let reading = self.stream.read_to_end(&mut self.buffer);
        // A reset is an end as well.
        tokio::time::timeout(PATIENCE, reading).await.expect("the connection ends in time").ok();
        std::mem::take(&mut self.buffer)
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Metrics,
    pub(crate) arms: Arms,
    pub(crate) drain: Drain,
    stop: watch::Sender<Option<Duration>>,
    thread: Option<JoinHandle<()>>,
    _publisher: Publisher,
}

/// Ends the server when the test says so, the way a signal would.
struct StopWhenTold {
    drain: Drain,
    told: watch::Receiver<Option<Duration>>,
}

#[async_trait]
impl ShutdownSignalWatch for StopWhenTold {
    async fn recv(&self) -> ShutdownSignal {
        let notice = *self.told.clone().wait_for(Option::is_some).await.unwrap();
        self.drain.run(notice.unwrap(), PATIENCE).await;
        ShutdownSignal::FastShutdown
    }
}

impl Gateway {
    /// Starts with upstreams and routes in TOML, and flags and segments as JSON documents.
    pub(crate) async fn start(toml: &str, flags: &[serde_json::Value]) -> Self {
        Self::start_changed(toml, flags, |_| {}).await
    }

    /// The same, with what TOML does not say.
    pub(crate) async fn start_changed(toml: &str, flags: &[serde_json::Value], change: impl Fn(&mut Config)) -> Self {
        Self::start_with(toml, flags, change, None).await
    }

    /// The same, with what is stored of users.
    pub(crate) async fn start_with(
        toml: &str,
        flags: &[serde_json::Value],
        change: impl Fn(&mut Config),
        source: Option<Source>,
    ) -> Self {
        let address = nobody();
        let common = format!(
            "listeners = [{{ name = \"web\", address = \"{address}\" }}]\nadmin.address = \"127.0.0.1:0\"\n\
             store.kind = \"memory\"\naccess_log.enabled = false\nserver.workers = 2\n\
             context.user_id = [{{ header = \"X-User-Id\" }}]\n"
        );
        let mut config =
            Config::parse("test", &(common + toml), std::iter::empty()).unwrap_or_else(|error| panic!("{error}"));
        change(&mut config);
        let profiles = config.profiles;
        let (cell, publisher) = SnapshotCell::new();
        let key = |document: &serde_json::Value| match document["key"].as_str() {
            Some(key) => DocumentKey::flag(key),
            None => DocumentKey::segment(document["id"].as_str().unwrap()),
        };
        let documents = flags.iter().map(|document| (key(document), document.to_string().into()));
        let revision = WorldRevision { epoch: "test".into(), number: 1 };
        assert!(publisher.publish(World::new(None).load(revision, documents)));
        let metrics = Metrics::new();
        let drain = Drain::new(metrics.requests_in_flight().clone());
        let (stop, told) = watch::channel(None);
        let arms = Arms::new();
        let profiles = source.map(|source| Profiles::new(source, &profiles, metrics.profiles()));
        let (config, runtime) = (Arc::new(config), Handle::current());
        let sources = Sources { metrics: metrics.clone(), arms: arms.clone(), profiles: profiles.clone(), runtime };
        let routing = RoutingCell::new(Arc::clone(&config), sources);
        let parts = Parts {
            recent: Recent::new(&config.recent),
            routing,
            current: Current::new(Arc::clone(&config)),
            config,
            cell,
            metrics: metrics.clone(),
            arms: arms.clone(),
            access_log: AccessLog::off(metrics.access_log_dropped().clone()),
            observers: Observers::default(),
            tracer: None,
            drain: drain.clone(),
            profiles,
        };
        let signal = StopWhenTold { drain: drain.clone(), told };
        let thread = thread::spawn(move || run(parts, signal));
        let gateway = Self { address, metrics, arms, drain, stop, thread: Some(thread), _publisher: publisher };
        until(async || TcpStream::connect(address).await.is_ok()).await;
        gateway
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn request(&self, request: &str) -> Response {
        self.client().await.request(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n")).await
    }

    /// Begins to stop, as SIGTERM does.
    pub(crate) fn stop(&self, notice: Duration) {
        self.stop.send_replace(Some(notice));
    }

    /// Whether the server has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.send_replace(Some(Duration::ZERO));
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn run(parts: Parts, signal: StopWhenTold) {
    let mut server = Server::new_with_opt_and_conf(None, gateway::server_conf(&parts.config));
    server.bootstrap();
    let sockets = parts.config.listeners.iter().map(|listener| {
        let socket = std::net::TcpListener::bind(listener.address).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    });
    let sockets = sockets.collect();
    gateway::add_services(&mut server, &parts, sockets, || {});
    server.run(RunArgs { shutdown_signal: Box::new(signal) });
}

/// Waits until a condition holds.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the condition holds in time");
}
