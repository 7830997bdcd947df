//! Clients that keep connections busy with as little as they can, beside those that do not.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use flaggate::clock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::harness::{Behaviour, Client, Gateway, Upstream, rounds, until};

/// Nobody may hold a connection longer.
const LONGEST: Duration = Duration::from_secs(15);

async fn gateway(upstream: SocketAddr) -> Gateway {
    let toml = format!(
        "routes = [{{ name = \"all\", upstream = \"only\" }}]\nupstreams.only.endpoints = [{{ address = \"{upstream}\" }}]\n"
    );
    Gateway::start(&toml, &[]).await
}

/// A client that sends one byte, or takes one, each second; gives how long it could.
async fn attack(address: SocketAddr, begin: &'static str, reads: bool) -> Duration {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1_024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let started = clock::monotonic();
    stream.write_all(begin.as_bytes()).await.unwrap();
    let mut byte = [0];
    let attacking = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let is_over = if reads {
                stream.read(&mut byte).await.map_or(true, |bytes| bytes == 0)
            } else {
                stream.write_all(b"x").await.is_err() || is_closed(&mut stream).await
            };
            if is_over {
                break;
            }
        }
    };
    tokio::time::timeout(LONGEST * 3, attacking).await.ok();
    started.elapsed()
}

/// Whether the gateway closed a connection, maybe after an answer.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.try_read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Asks all the while until `stop`; gives how many were asked and how many answered.
async fn good_traffic(address: SocketAddr, stop: Arc<AtomicBool>) -> (usize, usize) {
    let (mut asked, mut answered) = (0, 0);
    while !stop.load(SeqCst) {
        let mut client = Client::connect(address).await;
        for _ in 0..20 {
            asked += 1;
            client.send("GET /good HTTP/1.1\r\nHost: a\r\n\r\n").await;
            answered += usize::from(client.receive().await.is_some_and(|response| response.status == 200));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    (asked, answered)
}

/// Attacks beside good traffic; gives the longest that an attacker held on.
#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
async fn under_attack(begin: &'static str) -> Duration {
    let upstream = Upstream::start(Behaviour::Answer("good")).await;
    let gateway = gateway(upstream.address).await;
    let stop = Arc::new(AtomicBool::new(false));
    let good: Vec<_> = (0..4).map(|_| tokio::spawn(good_traffic(gateway.address, Arc::clone(&stop)))).collect();
    let mut attackers = JoinSet::new();
    for _ in 0..rounds(100, 1_000) {
        attackers.spawn(attack(gateway.address, begin, false));
    }
    let held = attackers.join_all().await.into_iter().max().unwrap();
    stop.store(true, SeqCst);
    let (mut asked, mut answered) = (0, 0);
    for good in good {
        let (some, of_them) = good.await.unwrap();
        (asked, answered) = (asked + some, answered + of_them);
    }
    println!("{begin:?}: held on for {held:?} at most; {answered} of {asked} good requests answered");
    assert!(asked > 1_000 && answered * 1_000 >= asked * 999, "{answered} of {asked}");
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_headers_are_given_up_and_good_traffic_is_not() {
    let held = under_attack("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    assert!(held < LONGEST, "{held:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_bodies_are_given_up_and_good_traffic_is_not() {
    let held = under_attack("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    assert!(held < LONGEST, "{held:?}");
}

/// An upstream whose answers are larger than what the system keeps for a client.
async fn large_answers() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut request).await.is_ok_and(|bytes| bytes > 0)
                {}
                let is_good = request.starts_with(b"GET /good");
                let length = if is_good { 4 } else { 64 << 20 };
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.ok();
                if is_good {
                    stream.write_all(b"good").await.ok();
                    return;
                }
                let part = vec![b'x'; 64 << 10];
                while stream.write_all(&part).await.is_ok() {}
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_readers_are_given_up_and_good_traffic_is_not() {
    let gateway = gateway(large_answers().await).await;
    let stop = Arc::new(AtomicBool::new(false));
    let good: Vec<_> = (0..4).map(|_| tokio::spawn(good_traffic(gateway.address, Arc::clone(&stop)))).collect();
    let slow = rounds(50, 1_000);
    let mut attackers = JoinSet::new();
    for _ in 0..slow {
        attackers.spawn(attack(gateway.address, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", true));
    }
    until(async || gateway.metrics.requests_in_flight().get() >= slow as i64).await;
    let since = clock::monotonic();
    until(async || gateway.metrics.requests_in_flight().get() < 5).await;
    let held = since.elapsed();
    assert!(held < LONGEST, "{held:?}");
    attackers.abort_all();
    stop.store(true, SeqCst);
    for good in good {
        let (asked, answered) = good.await.unwrap();
        assert!(answered * 1_000 >= asked * 999, "{answered} of {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_is_told_so_and_one_that_is_held_up_by_the_upstream_is_not() {
    let upstream = Upstream::start(Behaviour::Answer("taken")).await;
    let toml = format!(
        "routes = [{{ name = \"all\", upstream = \"only\" }}]\nupstreams.only.endpoints = [{{ address = \"{}\" }}]\n",
        upstream.address
    );
    let gateway = Gateway::start(&toml, &[]).await;
    let mut slow = gateway.client().await;
    let started = clock::monotonic();
    slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").await;
    let response = slow.receive().await.unwrap();
    assert_eq!(response.status, 408, "{}", response.body);
    assert!((9..13).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_has_more_connections_than_it_may() {
    let upstream = Upstream::start(Behaviour::Answer("good")).await;
    let toml = format!(
        "routes = [{{ name = \"all\", upstream = \"only\" }}]\nupstreams.only.endpoints = [{{ address = \"{}\" }}]\n",
        upstream.address
    );
    let limits: [(Option<usize>, Option<usize>, bool, usize); 4] = [
        (None, Some(10), false, 10),
        (Some(7), None, false, 7),
        (Some(7), Some(10), true, 7),
        (None, Some(10), true, 20),
    ];
    for (all, per_ip, is_proxy, expected) in limits {
        let gateway = Gateway::start_changed(&toml, &[], |config| {
            let listener = &mut config.listeners[0];
            (listener.max_connections, listener.max_connections_per_ip) = (all, per_ip);
            listener.trusted_proxies.extend(is_proxy.then(|| "127.0.0.0/8".parse::<ipnet::IpNet>().unwrap()));
        })
        .await;
        let open = &gateway.metrics.connections("web").open;
        until(async || open.get() == 0).await;
        let mut kept = Vec::new();
        for _ in 0..20 {
            let mut client = gateway.client().await;
            // One that is closed at once may say so already here.
            client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ok();
            if client.receive().await.is_some_and(|response| response.status == 200) {
                kept.push(client);
            }
        }
        assert_eq!(kept.len(), expected, "{all:?} {per_ip:?} {is_proxy}");
        kept.clear();
        until(async || open.get() == 0).await;
        assert_eq!(gateway.get("/").await.status, 200, "places are given back");
    }
}

/// Every request that its client leaves ends at the upstream as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_leave_take_their_requests_with_them() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (came, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&came), Arc::clone(&gone));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (came, gone) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
            tokio::spawn(async move {
                let mut request = [0; 4096];
                if stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {
                    came.fetch_add(1, SeqCst);
                    // Until the gateway closes the connection.
                    while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {}
                    gone.fetch_add(1, SeqCst);
                }
            });
        }
    });
    let gateway = gateway(address).await;
    let (all, at_once) = (rounds(300, 5_000), 100);
    let metrics = gateway.metrics.clone();
    for _ in 0..all / at_once {
        let before = came.load(SeqCst);
        let mut clients = Vec::new();
        for _ in 0..at_once {
            let mut client = gateway.client().await;
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            clients.push(client);
        }
        until(async || came.load(SeqCst) == before + at_once).await;
        drop(clients);
        let left = until(async || metrics.requests_in_flight().get() == 0 && gone.load(SeqCst) == before + at_once);
        let in_time = tokio::time::timeout(Duration::from_secs(1), left).await;
        assert!(in_time.is_ok(), "{} are still in flight", metrics.requests_in_flight().get());
    }
    until(async || metrics.connections("web").open.get() == 0).await;
}
