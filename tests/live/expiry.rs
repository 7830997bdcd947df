//! What a token or a session opened ends with it.

use std::time::{Duration, Instant};

use flaggate::{
    admin::LiveLimits,
    clock,
    config::{self, AdminToken},
    model::Role,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::harness::{PATIENCE, Served, serve_as, shake_hands_with};

/// How long the short token holds.
const TERM: Duration = Duration::from_millis(1_500);

/// A machine that is busy is late, but not by this much.
const LATE: Duration = Duration::from_secs(8);

fn token(name: &str, expires_in: Option<Duration>) -> AdminToken {
    AdminToken {
        name: name.to_owned(),
        role: Role::Viewer,
        sha256: Sha256::digest(name).into(),
        expires_at: expires_in.map(|term| clock::now() + term),
    }
}

/// The ways to show who one is: a header.
type Shown = (&'static str, String);

fn bearer(name: &str) -> Shown {
    ("authorization", format!("Bearer {name}"))
}

async fn stream(served: &Served, path: &str, shown: Option<&Shown>) -> Response {
    let request = served.http.get(format!("http://{}{path}", served.address));
    let answer =
        shown.iter().fold(request, |request, (name, value)| request.header(*name, value)).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer
}

/// Reads a stream to its end.
async fn ends(mut response: Response) -> Instant {
    while timeout(PATIENCE, response.chunk()).await.expect("it goes on").unwrap().is_some() {}
    clock::monotonic()
}

/// Whether the connection was closed as expired, and when.
async fn closes(served: &Served, shown: &Shown, wish: Option<&str>) -> Instant {
    let stream = TcpStream::connect(served.address).await.unwrap();
    let mut socket = shake_hands_with(stream, served.address, Some((shown.0, &shown.1))).await.unwrap();
    if let Some(wish) = wish {
        socket.say(wish).await;
    }
    loop {
        if let Err(code) = socket.next().await {
            assert_eq!(code, 4401);
            return clock::monotonic();
        }
    }
}

fn assert_in_time(what: &str, began: Instant, term: Duration, ended: Instant) {
    let took = ended - began;
    assert!(took >= term && took < term + LATE, "{what} ended after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_the_token_that_opened_them() {
    let began = clock::monotonic();
    let config =
        config::Admin { tokens: vec![token("short", Some(TERM)), token("long", None)], ..config::Admin::default() };
    let served = serve_as(&config, LiveLimits::default()).await;
    served.put("a", 10).await;
    let (short, long) = (bearer("short"), bearer("long"));
    let bulk = served.http.post(format!("http://{}/ofrep/v1/evaluate/flags", served.address)).header(short.0, &short.1);
    let bulk: Value = bulk.json(&json!({})).send().await.unwrap().json().await.unwrap();
    let by_ticket = bulk["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    assert!(by_ticket.contains("ticket="), "{by_ticket}");

    // One that is not to end stays, and hears.
    let stays = TcpStream::connect(served.address).await.unwrap();
    let mut stays = shake_hands_with(stays, served.address, Some((long.0, &long.1))).await.unwrap();
    let events = ends(stream(&served, "/events", Some(&short)).await);
    let ofrep = ends(stream(&served, "/ofrep/v1/events", Some(&short)).await);
    let ticketed = ends(stream(&served, &by_ticket, None).await);
    let (quiet, subscribed) =
        (closes(&served, &short, None), closes(&served, &short, Some(r#"{"subscribe": ["flags"]}"#)));
    let (events, ofrep, ticketed, quiet, subscribed) = tokio::join!(events, ofrep, ticketed, quiet, subscribed);
    for (what, ended) in [
        ("/events", events),
        ("OFREP's events", ofrep),
        ("the ticket's events", ticketed),
        ("/ws", quiet),
        ("/ws with a subscription", subscribed),
    ] {
        assert_in_time(what, began, TERM, ended);
    }
    served.put("a", 20).await;
    assert_eq!(stays.update().await, ("a".to_owned(), "updated".to_owned()));
    let again = served.http.get(format!("http://{}/events", served.address)).header(short.0, &short.1);
    assert_eq!(again.send().await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_always_has_something_to_read_is_sent_away_too() {
    let began = clock::monotonic();
    let config = config::Admin { tokens: vec![token("short", Some(TERM))], ..config::Admin::default() };
    let served = std::sync::Arc::new(serve_as(&config, LiveLimits::default()).await);
    let mut writing = JoinSet::new();
    writing.spawn({
        let served = std::sync::Arc::clone(&served);
        async move {
            for percentage in (0..=100).cycle() {
                served.put("a", percentage).await;
            }
        }
    });
    let short = bearer("short");
    let events = ends(stream(&served, "/events", Some(&short)).await);
    let (events, socket) = tokio::join!(events, closes(&served, &short, None));
    assert_in_time("/events", began, TERM, events);
    assert_in_time("/ws", began, TERM, socket);
    writing.abort_all();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_the_session_that_opened_them() {
    let session_ttl = Duration::from_secs(2);
    let config = config::Admin { tokens: vec![token("long", None)], session_ttl, ..config::Admin::default() };
    let served = serve_as(&config, LiveLimits::default()).await;
    let login = served.http.request(Method::POST, format!("http://{}/session", served.address));
    let login = login.json(&json!({ "token": "long" })).send().await.unwrap();
    let began = clock::monotonic();
    let cookie = login.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let shown = ("cookie", cookie);
    let events = ends(stream(&served, "/events", Some(&shown)).await);
    let (events, socket) = tokio::join!(events, closes(&served, &shown, None));
    // Sessions end at a full second.
    assert_in_time("/events", began, session_ttl - Duration::from_millis(1_100), events);
    assert_in_time("/ws", began, session_ttl - Duration::from_millis(1_100), socket);
}
