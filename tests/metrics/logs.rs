//! No request forges a line of a log, and no flood of them fills one.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use flaggate::clock;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::world::{Gateway, Upstream, free, many, until};

/// What a forger would like to see in a log.
const LINES: [&str; 2] = [
    "2026-01-01T00:00:00.000000Z ERROR forged::target: forged",
    "{\"time\":\"2026-01-01T00:00:00.000Z\",\"path\":\"/forged\",\"status\":200,\"error\":\"forged\"}",
];

/// What makes a line end, or a terminal do something.
const BREAKS: [&str; 14] = [
    "\r\n",
    "\n",
    "\r",
    "%0d%0a",
    "%0A",
    "\\n",
    "\u{1b}[2K\u{1b}[1A",
    "\u{9b}2J",
    "\0",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
];

async fn gateway(upstream: &Upstream, log: &str) -> Gateway {
    let more = format!(
        "[upstreams.stable]\nendpoints = [{{ address = \"{}\" }}]\n[upstreams.nobody]\nendpoints = [{{ address = \"{}\" }}]\n\
         [[routes]]\nname = \"gone\"\nmatch = {{ path_prefix = \"/gone\" }}\nupstream = \"nobody\"\n\
         [[routes]]\nname = \"shop\"\nupstream = \"stable\"\n",
        upstream.address,
        free()
    );
    Gateway::start_logging("kind = \"memory\"", &more, log).await
}

/// Sends bytes, and waits until the answer, or the connection, is over.
async fn send(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(bytes).await.ok();
        stream.shutdown().await.ok();
        stream.read_to_end(&mut answer).await.ok();
    };
    timeout(Duration::from_secs(10), exchange).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Requests with something in each place that a request has.
fn corpus() -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    for line in LINES {
        for one in BREAKS {
            let nasty = format!("a{one}{line}{one}");
            // Blanks would end the target, whatever is behind them.
            let target = nasty.replace(' ', "%20");
            for place in [
                format!("GET /{target} HTTP/1.1\r\nHost: shop\r\n"),
                format!("GET /die/{target} HTTP/1.1\r\nHost: shop\r\n"),
                format!("GET /gone/{target} HTTP/1.1\r\nHost: shop\r\n"),
                format!("GET /die?{target} HTTP/1.1\r\nHost: shop\r\n"),
                format!("GET http://{target}/die HTTP/1.1\r\nHost: shop\r\n"),
                format!("{target} /die HTTP/1.1\r\nHost: shop\r\n"),
                format!("GET /die HTTP/1.1{nasty}\r\nHost: shop\r\n"),
                format!("GET /die HTTP/1.1\r\nHost: {nasty}\r\n"),
                format!("GET /die HTTP/1.1\r\nHost: shop\r\nX-Request-Id: {nasty}\r\n"),
                format!("GET /die HTTP/1.1\r\nHost: shop\r\nX-User-Id: {nasty}\r\n"),
                format!(
                    "GET /die HTTP/1.1\r\nHost: shop\r\nUser-Agent: {nasty}\r\nReferer: {nasty}\r\nCookie: {nasty}\r\n"
                ),
                format!("GET /die HTTP/1.1\r\nHost: shop\r\nTraceparent: {nasty}\r\nX-Forwarded-For: {nasty}\r\n"),
                format!("GET /die HTTP/1.1\r\nHost: shop\r\n{nasty}: x\r\n"),
                format!("GET /length HTTP/1.1\r\nHost: shop\r\nX-Echo: {nasty}\r\n"),
                format!("POST /die HTTP/1.1\r\nHost: shop\r\nContent-Length: {nasty}\r\n"),
                format!("POST /die HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: {nasty}\r\n"),
                format!("POST /die HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n{nasty}"),
                format!("GET /die HTTP/1.1\r\nHost: shop\r\nUpgrade: {nasty}\r\nConnection: upgrade, {nasty}\r\n"),
            ] {
                requests.push(format!("{place}\r\n").into_bytes());
            }
        }
    }
    // Bytes that are no text.
    for byte in (0_u8..32).chain(127..=255) {
        requests.push([b"GET /die/\xff", &[byte][..], b"x HTTP/1.1\r\nHost: sh", &[byte][..], b"op\r\n\r\n"].concat());
    }
    requests
}

/// The level and target of each line of the process's log.
fn said(log: &str) -> Vec<(String, String, String)> {
    let lines = log.lines().map(|line| {
        let (time, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "no time: {line:?}");
        let (level, rest) = rest.trim_start().split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&level), "{line:?}");
        let (target, message) = rest.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
        assert!(target != "forged::target" && !time.starts_with("2026-01-01T"), "{line:?}");
        (time.to_owned(), target.to_owned(), message.to_owned())
    });
    lines.collect()
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|letter| letter == '\n' || !(letter.is_control() || "\u{2028}\u{2029}\u{202e}".contains(letter)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_a_request_forges_a_line() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, "debug").await;
    let requests = corpus();
    let (mut answered, mut sending) = (0, JoinSet::new());
    let total = requests.len();
    for request in requests {
        if sending.len() >= 4 {
            answered += usize::from(sending.join_next().await.unwrap().unwrap());
        }
        let address = gateway.web;
        sending.spawn(async move { send(address, &request).await.starts_with("HTTP/1.1 ") });
    }
    while let Some(one) = sending.join_next().await {
        answered += usize::from(one.unwrap());
    }
    assert!(answered > total / 2, "{answered} of {total}");
    let requests = async || gateway.metrics().await.sum("flaggate_requests_total") as usize;
    let logged = || fs::read_to_string(gateway.access_log()).unwrap();
    until("each request is logged", async || logged().lines().count() >= requests().await).await;
    sleep(Duration::from_millis(1_200)).await;

    let text = logged();
    assert_eq!(text.lines().count(), requests().await, "one line a request");
    assert!(text.is_ascii() && is_plain(&text));
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["path"] != "/forged" && line["error"] != "forged", "{line}");
        assert!(line["request_id"].is_string() && line["method"].is_string(), "{line}");
    }
    let log = gateway.log();
    assert!(is_plain(&log), "{log:?}");
    let lines = said(&log);
    let quoting = lines.iter().filter(|(.., message)| message.contains("forged")).count();
    println!(
        "| {total} requests, {answered} answered | {} access lines, {} lines of the process, 0 forged |",
        text.lines().count(),
        lines.len()
    );
    assert!(quoting > 0, "what is logged of requests is not what this tries: {log}");
}

/// Sends bad requests for some time, as fast as it goes, over connections that are kept where that is possible.
async fn flood(address: std::net::SocketAddr, until: Instant) -> u64 {
    let bad: [&[u8]; 7] = [
        b"GET /length HTTP/1.1\r\nHost: shop\r\nX-Echo: nonsense\r\n\r\n",
        b"GET /extra HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET /die HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET /gone HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"\x16\x03\x01garbage\r\n\r\n",
        b"GET /a%2fb HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: x\r\n\r\n",
    ];
    let mut sent = 0;
    while clock::monotonic() < until {
        for request in bad {
            let Ok(mut stream) = TcpStream::connect(address).await else { continue };
            if stream.write_all(request).await.is_ok() {
                sent += 1;
                let mut some = [0; 256];
                timeout(Duration::from_secs(2), stream.read(&mut some)).await.ok();
            }
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_requests_is_a_few_lines() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, "").await;
    let began = clock::monotonic();
    let end = began + Duration::from_secs(many(20, 4));
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        clients.spawn(flood(gateway.web, end));
    }
    let sent: u64 = clients.join_all().await.into_iter().sum();
    let rate = sent as f64 / (clock::monotonic() - began).as_secs_f64();
    sleep(Duration::from_millis(2_100)).await;
    let log = gateway.log();
    let lines = said(&log);
    let mut seconds: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut written, mut collapsed) = (0_u64, 0_u64);
    for (time, _, message) in &lines {
        *seconds.entry(time.split('.').next().unwrap()).or_default() += 1;
        match message.strip_prefix("… and ").and_then(|rest| rest.split(" more").next()) {
            Some(number) => collapsed += number.replace(' ', "").parse::<u64>().unwrap(),
            None => written += 1,
        }
    }
    let most = seconds.values().max().copied().unwrap_or_default();
    println!(
        "| {sent} bad requests, {rate:.0}/s | {written} lines written, {collapsed} in numbers, at most {most} lines in a second |"
    );
    assert!(most <= 100, "{most} lines in a second: {log}");
    assert!(collapsed > written, "{written} were written, {collapsed} only counted: {log}");
}
