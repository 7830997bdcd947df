//! Clients that never stop asking, and notice each request that fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::world::PATIENCE;

/// What became of all requests.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Answered with 200.
    pub(crate) answered: AtomicUsize,
    /// What failed, and how.
    pub(crate) failed: Mutex<Vec<String>>,
    over: AtomicBool,
    /// The gateway said that it is not ready: nobody opens a connection to it any more.
    is_unready: AtomicBool,
}

/// Clients of all kinds; they ask until told to stop.
pub(crate) struct Clients {
    pub(crate) outcome: Arc<Outcome>,
    tasks: JoinSet<()>,
}

/// How a client uses connections.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One for all requests.
    Kept,
    /// The same, and most of the time it says nothing.
    Rare,
    /// One for each request.
    New,
}

impl Clients {
    /// Four of each kind, and two of HTTP/2.
    pub(crate) fn start(web: SocketAddr) -> Self {
        let outcome = Arc::new(Outcome::default());
        let mut tasks = JoinSet::new();
        for number in 0..12 {
            let kind = [Kind::Kept, Kind::Rare, Kind::New][number % 3];
            let outcome = Arc::clone(&outcome);
            tasks.spawn(async move { outcome.http1(web, kind).await });
        }
        for _ in 0..2 {
            let outcome = Arc::clone(&outcome);
            tasks.spawn(async move { outcome.http2(web).await });
        }
        Self { outcome, tasks }
    }

    /// From here on no connection is opened, as by a balancer that heard that the gateway is not ready; those that are open are used
    /// until the gateway closes them.
    pub(crate) fn unready(&self) {
        self.outcome.is_unready.store(true, Ordering::Relaxed);
    }

    /// Waits until so many more requests are answered.
    pub(crate) async fn answered(&self, more: usize) {
        let goal = self.outcome.answered.load(Ordering::Relaxed) + more;
        let waiting = async {
            while self.outcome.answered.load(Ordering::Relaxed) < goal {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("the clients are answered");
    }

    /// Ends all clients after their requests. Gives how many were answered, and what failed.
    pub(crate) async fn end(mut self) -> (usize, Vec<String>) {
        self.outcome.over.store(true, Ordering::Relaxed);
        timeout(PATIENCE, async { while self.tasks.join_next().await.is_some() {} }).await.expect("the clients end");
        let failed = self.outcome.failed.lock().unwrap().clone();
        (self.outcome.answered.load(Ordering::Relaxed), failed)
    }
}

impl Outcome {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, how: String) {
        self.failed.lock().unwrap().push(how);
    }

    async fn connect(&self, web: SocketAddr) -> Option<TcpStream> {
        if self.is_unready.load(Ordering::Relaxed) {
            return None;
        }
        match TcpStream::connect(web).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                self.failed(format!("connect: {error}"));
                None
            }
        }
    }

    async fn http1(&self, web: SocketAddr, kind: Kind) {
        let request = match kind {
            Kind::Kept | Kind::Rare => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Kind::New => "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        };
        while !self.is_over() {
            let Some(mut stream) = self.connect(web).await else { return };
            loop {
                match ask(&mut stream, request).await {
                    Ok(head) if head.starts_with("HTTP/1.1 200 ") => {
                        self.answered();
                        if head.to_ascii_lowercase().contains("\r\nconnection: close\r\n") {
                            break;
                        }
                    }
                    Ok(head) => self.failed(format!("{kind:?}: {head}")),
                    Err(error) => {
                        self.failed(format!("{kind:?}: {error}"));
                        break;
                    }
                }
                if self.is_over() {
                    return;
                }
                if matches!(kind, Kind::Rare) {
                    sleep(Duration::from_millis(250)).await;
                }
            }
        }
    }

    async fn http2(&self, web: SocketAddr) {
        while !self.is_over() {
            let Some(stream) = self.connect(web).await else { return };
            let (mut sender, connection) = match h2::client::handshake(stream).await {
                Ok(opened) => opened,
                Err(error) => {
                    self.failed(format!("HTTP/2: {error}"));
                    continue;
                }
            };
            let connection = tokio::spawn(connection);
            // It is not ready any more, or takes no request, once the gateway has said that it goes.
            while !self.is_over() {
                let Ok(ready) = sender.clone().ready().await else { break };
                sender = ready;
                let request = http::Request::get(format!("http://{web}/")).body(()).unwrap();
                let Ok((answer, _)) = sender.send_request(request, true) else { break };
                match answer.await {
                    Ok(answer) if answer.status() == 200 => match whole(answer.into_body()).await {
                        Ok(body) if body == b"one" => self.answered(),
                        body => self.failed(format!("HTTP/2: {body:?}")),
                    },
                    answer => self.failed(format!("HTTP/2: {answer:?}")),
                }
            }
            drop(sender);
            // How the connection ends is the answers' matter.
            drop(connection.await.unwrap());
        }
    }
}

async fn whole(mut body: h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

/// Asks, and gives the head of the answer; its body is that of the upstream.
async fn ask(stream: &mut TcpStream, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\none") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::Error::other(format!("the end after {:?}", String::from_utf8_lossy(&answer))));
        }
    }
    Ok(String::from_utf8(answer).unwrap())
}
