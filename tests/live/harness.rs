//! An admin listener over a store in memory, and clients of its live feed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use flaggate::{
    admin::{self, Access, Admin, Deployments, Live, LiveLimits, Recomputes, Training, UsageWatch},
    clock, config,
    drain::Drain,
    model::DocumentKey,
    outbound::{self, Notifier},
    recent::Recent,
    snapshot::SnapshotCell,
    store::{
        Expected, Follower, MemoryAnalytics, MemoryCounters, MemoryProfiles, MemoryStore, Store, SyncHandle,
        SyncOptions, Write,
    },
    telemetry::{Metrics, Observers, Privacy, Tail},
    tracking::Moves,
};
use futures_util::{SinkExt, StreamExt};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running admin listener.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) sync: SyncHandle,
    pub(crate) live: Live,
    pub(crate) drain: Drain,
    pub(crate) http: Client,
}

pub(crate) async fn serve(limits: LiveLimits) -> Served {
    serve_as(&config::Admin::default(), limits).await
}

/// A listener that asks for what the configuration says.
pub(crate) async fn serve_as(config: &config::Admin, limits: LiveLimits) -> Served {
    let store = Arc::new(MemoryStore::new());
    let (cell, publisher) = SnapshotCell::new();
    let (follower, sync) = Follower::new(store.clone(), publisher, SyncOptions::default());
    let metrics = Metrics::new();
    let drain = Drain::new(metrics.requests_in_flight().clone());
    let live = Live::start(&sync, cell.clone(), drain.clone(), limits);
    tokio::spawn(follower.run(std::future::pending()));
    assert!(sync.ready().await);
    let moves = Moves::register(metrics.registry(), cell.clone()).unwrap();
    let admin = Admin {
        access: Access::new(config).unwrap(),
        store: store.clone(),
        cell,
        sync: sync.clone(),
        profiles: None,
        recent: Recent::off(),
        profile_store: Arc::new(MemoryProfiles::new()),
        counters: Arc::new(MemoryCounters::new()),
        analytics: Arc::new(MemoryAnalytics::new()),
        registry: metrics.registry().clone(),
        config: config::Current::new(Arc::new(config::Config::for_testing())),
        reload: None,
        drain: drain.clone(),
        observers: Observers::default(),
        tail: Arc::new(Tail::new(Privacy::default())),
        live: live.clone(),
        notifier: Notifier::new(outbound::Client::new(config::Outbound::default()).unwrap(), "test"),
        explain: None,
        ready_stale_after: None,
        usage: UsageWatch::default(),
        moves,
        recomputes: Recomputes::default(),
        training: Training::default(),
        deployments: Deployments::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(admin::serve(listener, admin));
    Served { address, store, sync, live, drain, http: Client::new() }
}

impl Served {
    /// Writes a flag, and waits until it is served.
    pub(crate) async fn put(&self, key: &str, percentage: u64) {
        let flag = json!({ "key": key, "name": key, "rollout_enabled": true, "rollout_percentage": percentage });
        self.write(key, Some(flag.to_string())).await;
    }

    pub(crate) async fn remove(&self, key: &str) {
        self.write(key, None).await;
    }

    /// `flag-0` and so on, written without waiting for each.
    pub(crate) async fn fill(&self, flags: usize) {
        self.fill_with("flag", flags).await;
    }

    /// Flags with keys so long that a snapshot of them is more than the system takes for who does not read.
    pub(crate) async fn fill_up(&self) {
        self.fill_with(&"x".repeat(1000), 9000).await;
    }

    async fn fill_with(&self, prefix: &str, flags: usize) {
        let mut last = None;
        for number in 0..flags {
            let key = format!("{prefix}-{number}");
            let text = json!({ "key": key, "name": key }).to_string();
            last = Some(self.store.write(write(&key, Some(text))).await.unwrap().world);
        }
        assert!(self.sync.applied(&last.unwrap(), PATIENCE).await);
    }

    /// Writes a flag, and does not wait.
    pub(crate) async fn store_only(&self, key: &str, text: String) {
        self.store.write(write(key, Some(text))).await.unwrap();
    }

    async fn write(&self, key: &str, text: Option<String>) {
        let written = self.store.write(write(key, text)).await.unwrap();
        assert!(self.sync.applied(&written.world, PATIENCE).await);
    }

    pub(crate) async fn connect(&self) -> Socket {
        self.connect_as(None).await.unwrap()
    }

    pub(crate) async fn connect_as(&self, origin: Option<&str>) -> Result<Socket, Box<tungstenite::Error>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        shake_hands(stream, self.address, origin).await
    }

    /// A client whose system takes little that it does not read.
    pub(crate) async fn connect_narrow(&self) -> Socket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        shake_hands(stream, self.address, None).await.unwrap()
    }

    /// The decision for a user, as the admin API gives it.
    pub(crate) async fn evaluate(&self, key: &str) -> Value {
        let url = format!("http://{}/flags/{key}/evaluate", self.address);
        let answer = self.http.post(url).json(&json!({ "user_id": "u" })).send().await.unwrap();
        answer.json().await.unwrap()
    }
}

fn write(key: &str, text: Option<String>) -> Write {
    Write {
        document: DocumentKey::flag(key),
        text: text.map(Into::into),
        expected: Expected::Any,
        actor: "test".to_owned(),
        at: clock::now(),
        fence: None,
    }
}

/// Opens a WebSocket to `/ws`.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    origin: Option<&str>,
) -> Result<Socket, Box<tungstenite::Error>> {
    shake_hands_with(stream, address, origin.map(|origin| ("origin", origin))).await
}

/// The same with any header.
pub(crate) async fn shake_hands_with(
    stream: TcpStream,
    address: SocketAddr,
    header: Option<(&'static str, &str)>,
) -> Result<Socket, Box<tungstenite::Error>> {
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    if let Some((name, value)) = header {
        request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    }
    let (socket, _) = client_async(request, stream).await.map_err(Box::new)?;
    Ok(Socket(socket))
}

/// A client of `/ws`.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message, or the code with which the server closed.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("nothing comes");
            match message.expect("the connection ended without a word").unwrap() {
                Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                Message::Close(frame) => return Err(frame.unwrap().code.into()),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    pub(crate) async fn hear(&mut self) -> Value {
        self.next().await.unwrap()
    }

    /// The key and the action of the next message, which is an update.
    pub(crate) async fn update(&mut self) -> (String, String) {
        let told = self.hear().await;
        assert_eq!(told["type"], "flag_update", "{told}");
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        (text("flag_key"), text("action"))
    }

    /// The keys of a snapshot, and its revision.
    pub(crate) async fn snapshot(&mut self) -> (Vec<String>, String) {
        let mut keys = Vec::new();
        for part in 1.. {
            let told = self.hear().await;
            assert_eq!(
                (&told["type"], &told["kind"], &told["part"]),
                (&json!("snapshot"), &json!("flags"), &json!(part))
            );
            keys.extend(told["flags"].as_array().unwrap().iter().map(|flag| flag["key"].as_str().unwrap().to_owned()));
            if told["parts"] == part {
                return (keys, told["revision"].as_str().unwrap().to_owned());
            }
        }
        unreachable!("the loop has no end of its own")
    }
}

/// The number of a revision that is told.
pub(crate) fn number(revision: &Value) -> u64 {
    revision.as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
}
