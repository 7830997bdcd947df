//! Upstreams that reset connections at every point of a request, and POSTs that must not come twice (row 25 of the promises).

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::harness::{Client, Gateway, rounds};

/// Where a connection is reset.
#[derive(Clone, Copy, Debug)]
enum Reset {
    /// Before anything was read of it.
    Accepted,
    /// When the header of the nth request is there, the body of which is not.
    Header(usize),
    /// When all of the nth request is there.
    Body(usize),
    /// In the middle of the nth answer.
    Answer(usize),
    /// After the nth answer, with which it says that it keeps the connection.
    Kept(usize),
}

/// Each connection has the next one.
const RESETS: [Reset; 9] = [
    Reset::Kept(1),
    Reset::Accepted,
    Reset::Body(2),
    Reset::Header(1),
    Reset::Kept(2),
    Reset::Body(1),
    Reset::Answer(2),
    Reset::Header(3),
    Reset::Answer(1),
];

/// What an upstream counts.
#[derive(Debug, Default)]
struct Counts {
    resets: AtomicUsize,
    /// How often each request came.
    came: Mutex<HashMap<String, usize>>,
}

async fn upstream(counts: Arc<Counts>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut all = RESETS.iter().cycle();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, *all.next().unwrap(), Arc::clone(&counts)));
        }
    });
    address
}

/// Serves a connection until it is to be reset; `None`: the gateway closed it before.
async fn serve(mut stream: TcpStream, reset: Reset, counts: Arc<Counts>) {
    if until_reset(&mut stream, reset, &counts).await.is_some() {
        counts.resets.fetch_add(1, SeqCst);
        stream.set_zero_linger().unwrap();
    }
}

async fn until_reset(stream: &mut TcpStream, reset: Reset, counts: &Counts) -> Option<()> {
    if matches!(reset, Reset::Accepted) {
        return Some(());
    }
    let mut read = Vec::new();
    for number in 1.. {
        let end = loop {
            if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
        };
        let head = String::from_utf8(read.drain(..end).collect()).unwrap();
        *counts.came.lock().unwrap().entry(head.lines().next().unwrap().to_owned()).or_default() += 1;
        if matches!(reset, Reset::Header(last) if last == number) {
            return Some(());
        }
        let length = if head.starts_with("POST ") { 4 } else { 0 };
        while read.len() < length {
            (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
        }
        read.drain(..length);
        if matches!(reset, Reset::Body(last) if last == number) {
            return Some(());
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
        if matches!(reset, Reset::Answer(last) if last == number) {
            stream.write_all(&answer[..answer.len() - 2]).await.ok()?;
            return Some(());
        }
        stream.write_all(answer).await.ok()?;
        if matches!(reset, Reset::Kept(last) if last == number) {
            return Some(());
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_post_comes_twice_wherever_a_connection_is_reset() {
    let counts = Arc::new(Counts::default());
    let wanted = rounds(1_000, 10_000);
    let address = upstream(Arc::clone(&counts)).await;
    // As many tries as can be, so that nothing but the rule keeps a POST from being sent again.
    let toml = format!(
        "routes = [{{ name = \"all\", upstream = \"pool\" }}]\n[upstreams.pool]\n\
         endpoints = [{{ address = \"{address}\" }}]\nretries = {{ attempts = 5, budget_percent = 100 }}\n"
    );
    let gateway = Gateway::start(&toml, &[]).await;
    let statuses = Arc::new(Mutex::new(HashMap::<u16, usize>::new()));
    let mut clients = JoinSet::new();
    for name in 0..8 {
        let (address, counts, statuses) = (gateway.address, Arc::clone(&counts), Arc::clone(&statuses));
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            for number in 0.. {
                if counts.resets.load(SeqCst) >= wanted {
                    return;
                }
                assert!(number < 10 * wanted, "the upstream resets its connections");
                // Now and then something that may be sent again, to leave connections behind.
                let (method, body) = if number % 4 == 3 { ("GET", "") } else { ("POST", "body") };
                let length = body.len();
                let request =
                    format!("{method} /{name}-{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
                let status = match client.stream.write_all(request.as_bytes()).await {
                    Ok(()) => client.receive().await.map_or(0, |answer| answer.status),
                    Err(_) => 0,
                };
                *statuses.lock().unwrap().entry(status).or_default() += 1;
                if status != 200 || number % 50 == 0 {
                    client = Client::connect(address).await;
                }
            }
        });
    }
    clients.join_all().await;
    let came = counts.came.lock().unwrap();
    let (posts, gets): (Vec<_>, Vec<_>) = came.iter().partition(|(request, _)| request.starts_with("POST "));
    let twice: Vec<_> = posts.iter().filter(|(_, times)| **times > 1).collect();
    let again = gets.iter().filter(|(_, times)| **times > 1).count();
    println!(
        "{} resets: {} POST came, {} twice; of {} GET {again} came again; {:?}",
        counts.resets.load(SeqCst),
        posts.len(),
        twice.len(),
        gets.len(),
        statuses.lock().unwrap()
    );
    assert!(twice.is_empty(), "{twice:?}");
    assert!(posts.len() > wanted / 2 && again > 0, "{} POST, {again} GET came again", posts.len());
}
