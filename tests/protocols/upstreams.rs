//! Upstreams that encrypt, and those that speak HTTP/2.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use flaggate::clock;
use http::Request;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{
    certificates::Authority,
    clients::{Answer, Http2, exchange, get, told},
    process::{PATIENCE, Process},
    servers::{Server, Speaks},
};

/// A gateway before one upstream, which is spoken to as `keys` say.
async fn gateway(server: &Server, keys: &str) -> Process {
    before(&format!("[{{ address = \"{}\" }}]", server.address), keys, &json!([]), "").await
}

async fn before(endpoints: &str, keys: &str, flags: &Value, more: &str) -> Process {
    let text = format!(
        "[upstreams.only]\nendpoints = {endpoints}\n{keys}\n\
         health_check = {{ path = \"/healthz\", interval = \"50ms\", timeout = \"2s\", unhealthy = 1 }}\n\
         [[routes]]\nname = \"all\"\nupstream = \"only\"\n{more}\n"
    );
    Process::start(flags, &text).await
}

/// What a client gets, by HTTP/2 and by HTTP/1.1.
async fn both(gateway: &Process, path: &str) -> [String; 2] {
    let by_http2 = Http2::connect(gateway.web).await.ask(get(path).body(()).unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    let by_http1 = exchange(TcpStream::connect(gateway.web).await.unwrap(), request.as_bytes()).await;
    let Answer { status, body, .. } = by_http2;
    [format!("HTTP/2 {} {body}", status.as_str()), by_http1]
}

async fn metric(gateway: &Process, series: &str) -> Option<f64> {
    let metrics = reqwest::get(format!("http://{}/metrics", gateway.admin)).await.unwrap().text().await.unwrap();
    metrics.lines().find(|line| line.starts_with(series)).map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_are_spoken_to_as_the_configuration_says() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let pair = authority.issue(&["127.0.0.1"]);
    let tls = format!("tls = {{ ca = {:?} }}", authority.write(folder.path(), "ca"));
    for (protocol, http2, alpn, expected) in [
        ("", false, None, "HTTP/1.1"),
        ("http1", false, None, "HTTP/1.1"),
        ("http2", true, None, "HTTP/2.0"),
        ("http1", false, Some(&["h2", "http/1.1"][..]), "HTTP/1.1"),
        ("http2", false, Some(&["h2", "http/1.1"]), "HTTP/2.0"),
        ("auto", false, Some(&["h2", "http/1.1"]), "HTTP/2.0"),
        ("auto", false, Some(&["http/1.1"]), "HTTP/1.1"),
        ("auto", false, Some(&[]), "HTTP/1.1"),
    ] {
        let server = Server::start(Speaks { http2, tls: alpn.map(|alpn| (&pair, alpn, None)) }).await;
        let mut keys = if protocol.is_empty() { String::new() } else { format!("protocol = \"{protocol}\"\n") };
        if alpn.is_some() {
            keys += &tls;
        }
        let gateway = gateway(&server, &keys).await;
        for said in both(&gateway, "/a?b=c").await {
            let case = format!("{protocol} {alpn:?}: {said}");
            assert!(said.starts_with("HTTP/2 200") || said.starts_with("HTTP/1.1 200"), "{case}");
            assert!(said.contains(&format!("{expected} GET ")) && said.contains("/a?b=c\n"), "{case}");
            let host = if expected == "HTTP/2.0" { "://shop.example/" } else { "\nhost: shop.example\n" };
            assert!(said.contains(host), "{case}");
            assert_eq!((told(&said, "x-flaggate-route").len(), told(&said, "x-forwarded-for").len()), (1, 1), "{case}");
        }
        assert_eq!(metric(&gateway, "flaggate_upstream_endpoint_healthy{").await, Some(1.0), "{protocol} {alpn:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_must_prove_itself_and_so_must_the_gateway() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (pair, mine) =
        (authority.issue(&["shop.internal"]), authority.issue(&["gateway"]).write(folder.path(), "mine"));
    let (ca, other) = (authority.write(folder.path(), "ca"), Authority::new().write(folder.path(), "other"));
    let open = Server::start(Speaks { http2: false, tls: Some((&pair, &["h2", "http/1.1"], None)) }).await;
    let closed =
        Server::start(Speaks { http2: false, tls: Some((&pair, &["h2", "http/1.1"], Some(authority.roots()))) }).await;
    for (server, tls, expected) in [
        (&open, format!("ca = {ca:?}, sni = \"shop.internal\""), "sni: shop.internal\ncertified: false\n"),
        // It is not for 127.0.0.1.
        (&open, format!("ca = {ca:?}"), ""),
        (&open, format!("ca = {other:?}, sni = \"shop.internal\""), ""),
        (&open, "sni = \"shop.internal\"".to_owned(), ""),
        (&open, format!("ca = {ca:?}, verify = false"), "certified: false\n"),
        (&closed, format!("ca = {ca:?}, sni = \"shop.internal\", client_cert = {mine}"), "certified: true\n"),
        (&closed, format!("ca = {ca:?}, sni = \"shop.internal\""), ""),
    ] {
        for protocol in ["http1", "http2"] {
            let gateway = gateway(server, &format!("protocol = \"{protocol}\"\ntls = {{ {tls} }}")).await;
            let said = both(&gateway, "/").await;
            let is_well = Some(if expected.is_empty() { 0.0 } else { 1.0 });
            assert_eq!(metric(&gateway, "flaggate_upstream_endpoint_healthy{").await, is_well, "{tls}");
            for said in said {
                let status = if expected.is_empty() { " 503 " } else { " 200 " };
                assert!(said.contains(status) && said.contains(expected), "{protocol} {tls}: {said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_a_connection_of_http2() {
    let server = Server::start(Speaks { http2: true, tls: None }).await;
    let gateway = gateway(&server, "protocol = \"http2\"").await;
    let client = Http2::connect(gateway.web).await;
    assert_eq!(client.ask(get("/first").body(()).unwrap()).await.unwrap().status, 200);
    for _ in 0..5 {
        let all = (0..40).map(|_| client.ask(get("/").body(()).unwrap()));
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer.unwrap().status, 200);
        }
    }
    // Not one: who finds it taken for a moment makes another.
    let connections = server.connections.load(Ordering::Relaxed);
    assert!(connections < 80, "{connections} connections for 201 requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_silent_is_not_waited_for() {
    for (protocol, http2) in [("http1", false), ("http2", true)] {
        let server = Server::start(Speaks { http2, tls: None }).await;
        for timeouts in ["request = \"300ms\"", "read = \"300ms\""] {
            let keys = format!("protocol = \"{protocol}\"\ntimeouts = {{ {timeouts} }}");
            let gateway = gateway(&server, &keys).await;
            let started = clock::monotonic();
            for said in both(&gateway, "/silent").await {
                assert!(said.contains(" 504 ") && said.contains("upstream_timed_out"), "{protocol} {timeouts}: {said}");
            }
            let took = clock::monotonic().duration_since(started);
            assert!(took < Duration::from_secs(3), "{protocol} {timeouts}: {took:?}");
        }
    }
}

/// What an upstream of HTTP/2 refuses before it did anything is tried once more, whatever the method.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, mut tries) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut asked = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut connection) = h2::server::handshake(stream).await else { continue };
            if let Some(Ok((request, mut respond))) = connection.accept().await {
                told.send(request.uri().path().to_owned()).unwrap();
                asked += 1;
                if asked == 1 {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                } else {
                    let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                    body.send_data(Bytes::from_static(b"second"), true).unwrap();
                }
            }
            tokio::spawn(async move { while connection.accept().await.is_some() {} });
        }
    });
    let text = format!(
        "[upstreams.only]\nendpoints = [{{ address = \"{address}\" }}]\nprotocol = \"http2\"\n\
         [[routes]]\nname = \"all\"\nupstream = \"only\"\n"
    );
    let gateway = Process::start(&json!([]), &text).await;
    let client = Http2::connect(gateway.web).await;
    let request = Request::post("http://shop.example/order").body(()).unwrap();
    let answer = client.send(request, Some("one")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "second"));
    assert_eq!([tries.recv().await.unwrap(), tries.recv().await.unwrap()], ["/order", "/order"]);
    assert!(tries.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_go_to_upstreams_of_http2_as_well() {
    let (real, copied) = (
        Server::start(Speaks { http2: false, tls: None }).await,
        Server::start(Speaks { http2: true, tls: None }).await,
    );
    let flag = json!([{ "key": "shadow", "default_value": true, "targeting_enabled": true,
        "targeting_rules": [{ "attribute": "user_id", "operator": "equals", "value": "nobody", "return_value": false }] }]);
    let more = format!(
        "mirror = {{ flag = \"shadow\", upstream = \"next\" }}\n\
         [upstreams.next]\nendpoints = [{{ address = \"{}\" }}]\nprotocol = \"http2\"",
        copied.address
    );
    let gateway = before(&format!("[{{ address = \"{}\" }}]", real.address), "", &flag, &more).await;
    for said in both(&gateway, "/copied?a=b").await {
        assert!(said.contains(" 200 "), "{said}");
    }
    let by = clock::monotonic() + PATIENCE;
    while metric(&gateway, "flaggate_mirror_requests_total{result=\"same\"").await != Some(2.0) {
        assert!(clock::monotonic() < by, "{:?}", copied.seen.lock().unwrap());
        sleep(Duration::from_millis(10)).await;
    }
    for said in copied.seen.lock().unwrap().iter() {
        assert!(said.starts_with("HTTP/2.0 GET http://shop.example/copied?a=b\n"), "{said}");
        assert_eq!(told(said, "x-flaggate-shadow"), ["1"], "{said}");
    }
}
