//! No request makes a series, and what is removed takes its series with it.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

use crate::world::{Gateway, Upstream, many, read_head, until};

/// Names and labels, without values.
async fn series(gateway: &Gateway) -> BTreeSet<String> {
    let text = gateway.exposed("text/plain").await.1;
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// Anything, but always the same of a number.
fn drawn(number: u64) -> u64 {
    flaggate::model::Users::hash(&number.to_string())
}

/// A request that no other is like.
fn request(number: u64) -> String {
    const METHODS: [&str; 6] = ["GET", "DELETE", "PATCH", "OPTIONS", "PROPFIND", ""];
    let word = format!("{:x}", drawn(number));
    let method = match METHODS[(number % 6) as usize] {
        "" => format!("X{}", word.to_ascii_uppercase()),
        known => known.to_owned(),
    };
    let host = if number.is_multiple_of(5) { format!("{word}.example") } else { "shop".to_owned() };
    format!(
        "{method} /{word}/{number}?q={word} HTTP/1.1\r\nHost: {host}\r\nX-User-Id: {word}\r\nX-Plan: {word}\r\nUser-Agent: {word}\r\n\
         X-Request-Id: {word}\r\nTraceparent: 00-{word:0>32}-{word:0>16}-01\r\nX-{word}: {word}\r\n\r\n"
    )
}

async fn send(address: std::net::SocketAddr, numbers: impl Iterator<Item = u64>) {
    let (mut stream, mut buffer) = (None, Vec::new());
    for number in numbers {
        let mut connection = match stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address).await.unwrap(),
        };
        connection.write_all(request(number).as_bytes()).await.unwrap();
        let head = read_head(&mut connection, &mut buffer).await.unwrap().to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        while buffer.len() < length {
            use tokio::io::AsyncReadExt as _;
            assert!(connection.read_buf(&mut buffer).await.unwrap() > 0);
        }
        buffer.clear();
        stream = (!head.contains("connection: close")).then_some(connection);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_series_does_not_grow_with_what_users_send() {
    let upstream = Upstream::start().await;
    let more = format!(
        "[upstreams.stable]\nendpoints = [{{ address = \"{address}\" }}]\n[upstreams.next]\nendpoints = [{{ address = \"{address}\" }}]\n\
         [[routes]]\nname = \"shop\"\nmatch = {{ hosts = [\"shop\"] }}\nupstream = \"stable\"\n\
         canary = {{ flag = \"canary\", upstream = \"next\" }}\n",
        address = upstream.address
    );
    let gateway = Gateway::start("kind = \"memory\"", &more).await;
    let flag = json!({ "key": "canary", "name": "Canary", "rollout_enabled": true, "rollout_percentage": 50 });
    gateway.tell("POST", "/flags?wait=all", flag.clone()).await;
    let total = many(1_000_000, 6_000);
    let send_all = async |from: u64, to: u64| {
        let mut clients = JoinSet::new();
        for client in 0..8 {
            clients.spawn(send(gateway.web, (from..to).filter(move |number| number % 8 == client)));
        }
        clients.join_all().await;
        until("all is counted", async || gateway.metrics().await.sum("flaggate_requests_total") >= to).await;
    };
    send_all(0, 1_000).await;
    let before = series(&gateway).await;
    send_all(1_000, total).await;
    let after = series(&gateway).await;
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(before.len(), after.len());
    println!("| {total} random users, paths and methods | {} series, before and after |", after.len());

    // A flag that is gone takes its series with it, and begins anew when it comes again.
    let of_flag =
        async || series(&gateway).await.into_iter().filter(|series| series.contains("flag=\"canary\"")).count();
    assert!(of_flag().await > 20, "evaluations, requests and durations");
    gateway.tell("DELETE", "/flags/canary?wait=all", json!(null)).await;
    assert_eq!(of_flag().await, 0);
    gateway.tell("POST", "/flags?wait=all", flag).await;
    assert_eq!(of_flag().await, 0);
    send_all(total, total + 50).await;
    let metrics = gateway.metrics().await;
    let counted = metrics.by("flaggate_variation_requests_total", &["flag"]);
    let evaluated = metrics.by("flaggate_flag_evaluations_total", &["flag"]);
    // Four in five have a host with a route, and five in six a method that is taken.
    let routed = (total..total + 50).filter(|number| number % 5 != 0 && number % 6 != 5).count();
    assert_eq!(counted.values().sum::<u64>(), routed as u64);
    assert_eq!((counted.len(), &evaluated), (1, &counted));
}
