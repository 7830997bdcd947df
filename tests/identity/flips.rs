//! What lives long when its decision changes: WebSockets and streams.

use std::{net::SocketAddr, time::Duration};

use flaggate::clock;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, accept_async, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::{
    process::{PATIENCE, Process},
    world::{metric, read_head},
};

/// What lives long is looked at twice a second, and ended within four seconds.
const SOON: Duration = Duration::from_secs(8);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An upstream of WebSockets: it sends everything back behind its name.
async fn sockets(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = accept_async(stream).await else { return };
                while let Some(Ok(Message::Text(text))) = socket.next().await {
                    if socket.send(Message::text(format!("{name} {text}"))).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// An upstream whose answers never end: one event, and more of them only on `/busy`.
async fn streams(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Some(head) = read_head(&mut stream, &mut Vec::new()).await else { return };
                // What does not say that it is a stream is one as soon as it lasts.
                let kind = if head.contains("/busy") { "text/plain" } else { "text/event-stream" };
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.ok();
                let chunk = format!("{:x}\r\n{name}\r\n", name.len());
                while stream.write_all(chunk.as_bytes()).await.is_ok() {
                    let pause = if head.contains("/busy") { 50 } else { 60_000 };
                    sleep(Duration::from_millis(pause)).await;
                }
            });
        }
    });
    address
}

/// A canary that everybody is in but those for whom the flag says otherwise; `on_flip` for routes below `/drain`.
async fn gateway(stable: SocketAddr, next: SocketAddr) -> Process {
    let route = |name: &str, more: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\nmatch = {{ path_prefix = \"/{name}\" }}\nupstream = \"stable\"\n\
             canary = {{ flag = \"canary\", upstream = \"next\" }}\n{more}\n"
        )
    };
    let more = format!(
        "[upstreams.stable]\nendpoints = [{{ address = \"{stable}\" }}]\n[upstreams.next]\nendpoints = [{{ address = \"{next}\" }}]\n{}{}",
        route("drain", "on_flip = \"drain\""),
        route("pin", ""),
    );
    let rule = json!({ "attribute": "user_id", "operator": "equals", "value": "insider", "return_value": true });
    let flags = json!([{
        "key": "canary", "name": "c", "rollout_enabled": true, "rollout_percentage": 100,
        "targeting_enabled": true, "targeting_rules": [rule],
    }, { "key": "other", "name": "o" }]);
    Process::start(&flags, &more).await
}

async fn change(gateway: &Process, flag: &str, change: serde_json::Value) {
    let url = format!("http://{}/flags/{flag}", gateway.admin);
    let answer = reqwest::Client::new().patch(url).json(&change).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

async fn connect(gateway: &Process, path: &str, user: &str) -> Socket {
    let mut request = format!("ws://{}{path}", gateway.web).into_client_request().unwrap();
    request.headers_mut().insert("X-User-Id", user.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    assert_eq!(ask(&mut socket).await.as_deref(), Some("next hi"));
    socket
}

/// What comes back; none: the connection has ended.
async fn ask(socket: &mut Socket) -> Option<String> {
    socket.send(Message::text("hi")).await.ok()?;
    match timeout(PATIENCE, socket.next()).await.expect("an answer comes in time") {
        Some(Ok(Message::Text(text))) => Some(text.to_string()),
        Some(Ok(_) | Err(_)) | None => None,
    }
}

#[tokio::test]
async fn sockets_are_drained_where_the_route_says_so() {
    let gateway = gateway(sockets("stable").await, sockets("next").await).await;
    let mut drained = Vec::new();
    for number in 0..12 {
        drained.push(connect(&gateway, "/drain/a", &format!("user-{number}")).await);
    }
    let mut pinned = connect(&gateway, "/pin/a", "user-1").await;
    let mut insider = connect(&gateway, "/drain/a", "insider").await;
    // What changes nothing for them does nothing to them.
    change(&gateway, "other", json!({ "rollout_percentage": 50, "rollout_enabled": true })).await;
    sleep(Duration::from_secs(1)).await;
    for socket in &mut drained {
        assert_eq!(ask(socket).await.as_deref(), Some("next hi"));
    }
    change(&gateway, "canary", json!({ "rollout_percentage": 0 })).await;
    let began = clock::monotonic();
    let mut ends = Vec::new();
    // Nobody says a word: an idle connection ends as well.
    let waiting = drained.into_iter().map(|mut socket| {
        tokio::spawn(async move {
            let end = timeout(PATIENCE, socket.next()).await.expect("the connection ends");
            assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
            clock::monotonic()
        })
    });
    for end in waiting.collect::<Vec<_>>() {
        ends.push(end.await.unwrap().duration_since(began));
    }
    ends.sort();
    assert!(ends[11] < SOON, "{ends:?}");
    assert!(ends[11] - ends[0] > Duration::from_millis(300), "they are spread out: {ends:?}");
    assert_eq!(ask(&mut pinned).await.as_deref(), Some("next hi"));
    assert_eq!(ask(&mut insider).await.as_deref(), Some("next hi"));
    // Whoever comes back is where the flag leads now.
    let mut request = format!("ws://{}/drain/a", gateway.web).into_client_request().unwrap();
    request.headers_mut().insert("X-User-Id", "user-1".parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    assert_eq!(ask(&mut socket).await.as_deref(), Some("stable hi"));
}

/// Reads a stream to its end, which must come soon; none: it does not.
async fn end_of(gateway: &Process, path: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(gateway.web).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nX-User-Id: ann\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = Vec::new();
    let head = read_head(&mut stream, &mut buffer).await.unwrap();
    (stream, head)
}

#[tokio::test]
async fn streams_are_drained_busy_or_idle() {
    let gateway = gateway(streams("stable").await, streams("next").await).await;
    let mut all = Vec::new();
    for path in ["/drain/idle", "/drain/busy", "/pin/idle"] {
        let (stream, head) = end_of(&gateway, path).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        all.push((path, stream));
    }
    // The busy one is watched once it lasts.
    sleep(Duration::from_millis(1_500)).await;
    change(&gateway, "canary", json!({ "enabled": false })).await;
    let began = clock::monotonic();
    for (path, mut stream) in all {
        let mut rest = Vec::new();
        let wait = if path.starts_with("/pin") { Duration::from_secs(2) } else { SOON };
        let ended = timeout(wait, stream.read_to_end(&mut rest)).await.is_ok();
        assert_eq!(ended, path.starts_with("/drain"), "{path}");
        // An answer that is cut off is not taken for a whole one.
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{path}");
    }
    assert!(clock::monotonic().duration_since(began) < SOON + SOON);
    let series = "flaggate_requests_total{code_class=\"2xx\",route=\"drain\",strategy=\"canary\",upstream=\"next\"}";
    assert_eq!(metric(&gateway, series).await, 2);
}
