//! What a client may cost.

use std::time::Duration;

use flaggate::admin::LiveLimits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite;

use crate::harness::{PATIENCE, serve};

#[tokio::test]
async fn who_does_not_read_is_sent_away_and_nobody_else_is_harmed() {
    let limits = LiveLimits { goodbye: PATIENCE, ..LiveLimits::default() };
    let served = serve(limits).await;
    served.fill_up().await;
    let (mut slow, mut quick) = (served.connect_narrow().await, served.connect().await);
    slow.say(r#"{"subscribe": ["flags"]}"#).await;
    // It has something, so it is being served; it reads nothing more.
    slow.hear().await;
    for percentage in 0..=limits.queue {
        served.put("a", percentage % 100).await;
        assert_eq!(quick.update().await.0, "a");
    }
    let mut parts = 1;
    let code = loop {
        match slow.next().await {
            Ok(told) => {
                assert_eq!(told["type"], "snapshot", "{told}");
                parts += 1;
            }
            Err(code) => break code,
        }
    };
    assert_eq!(code, 1013);
    assert!(parts > 1, "what was sent before is read");
}

#[tokio::test]
async fn who_is_behind_is_told_the_last_state_of_each_key() {
    let served = serve(LiveLimits::default()).await;
    served.fill_up().await;
    let mut slow = served.connect_narrow().await;
    slow.say(r#"{"subscribe": ["flags"]}"#).await;
    let first = slow.hear().await;
    for percentage in 0..50 {
        for key in ["a", "b"] {
            served.put(key, percentage).await;
        }
    }
    served.remove("b").await;
    for _ in 1..first["parts"].as_u64().unwrap() {
        assert_eq!(slow.hear().await["type"], "snapshot");
    }
    served.put("end", 1).await;
    let mut told = Vec::new();
    while told.last().is_none_or(|(key, _)| key != "end") {
        told.push(slow.update().await);
    }
    let of =
        |key: &str| told.iter().filter(|(told, _)| told == key).map(|(_, action)| action.as_str()).collect::<Vec<_>>();
    assert_eq!((of("a").last(), of("b").last()), (Some(&"updated"), Some(&"deleted")));
    assert!(told.len() < 10, "not every state on the way: {told:?}");
}

#[tokio::test]
async fn who_does_not_answer_a_ping_is_gone() {
    let served = serve(LiveLimits { ping_every: Duration::from_millis(50), ..LiveLimits::default() }).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        served.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    timeout(PATIENCE, async { while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {} }).await.unwrap();
    let frames = &read[read.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4..];
    // A ping, and a close with 1008.
    assert_eq!(frames[..6], [0x89, 0, 0x88, 9, 0x03, 0xf0], "{frames:?}");
}

#[tokio::test]
async fn who_answers_pings_stays() {
    let served = serve(LiveLimits { ping_every: Duration::from_millis(20), ..LiveLimits::default() }).await;
    let mut socket = served.connect().await;
    // Only a client that reads answers, so it reads for the time of several pings.
    let heard = timeout(Duration::from_millis(200), socket.hear()).await;
    assert!(heard.is_err(), "{heard:?}");
    served.put("a", 1).await;
    assert_eq!(socket.update().await.0, "a");
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection() {
    let served = serve(LiveLimits::default()).await;
    let mut socket = served.connect().await;
    socket.say(&"x".repeat(64 << 10)).await;
    socket.say(r#"{"subscribe": ["flags"]}"#).await;
    socket.snapshot().await;
    socket.say(&"x".repeat((64 << 10) + 1)).await;
    assert_eq!(socket.next().await, Err(1009));
}

#[tokio::test]
async fn there_is_an_end_to_the_places() {
    let served = serve(LiveLimits { clients: 2, ..LiveLimits::default() }).await;
    let sockets = [served.connect().await, served.connect().await];
    match served.connect_as(None).await.map(|_| ()).map_err(|error| *error) {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("{other:?}"),
    }
    let events = served.http.get(format!("http://{}/events", served.address)).send().await.unwrap();
    assert_eq!((events.status().as_u16(), events.headers()["retry-after"].as_bytes()), (503, &b"5"[..]));
    assert_eq!(served.live.clients(), 2);
    drop(sockets);
    let free = async {
        while served.live.clients() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, free).await.expect("the places are free again");
}

#[tokio::test]
async fn the_end_is_announced() {
    let served = serve(LiveLimits::default()).await;
    let mut sockets = [served.connect().await, served.connect().await];
    sockets[1].say(r#"{"subscribe": ["flags"]}"#).await;
    sockets[1].snapshot().await;
    let mut events = served.http.get(format!("http://{}/events", served.address)).send().await.unwrap();
    assert!(served.drain.run(Duration::ZERO, Duration::ZERO).await);
    for socket in &mut sockets {
        assert_eq!(socket.next().await, Err(1001));
    }
    timeout(PATIENCE, async { while events.chunk().await.unwrap().is_some() {} }).await.expect("the stream ends");
    assert!(served.connect_as(None).await.is_err());
    let readyz = served.http.get(format!("http://{}/readyz", served.address)).send().await.unwrap();
    assert_eq!(readyz.status(), 503);
}
