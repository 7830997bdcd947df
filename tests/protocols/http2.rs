//! What the gateway takes and refuses, on HTTP/2.

use std::{process::Command, time::Duration};

use bytes::Bytes;
use http::{Request, Version};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    clients::{Http2, get, mirror, told},
    process::{PATIENCE, Process},
    upstream::{free, upstream},
};

/// A gateway without TLS before an upstream that says what it was sent.
pub(crate) async fn gateway(route: &str) -> Process {
    let upstream = mirror().await;
    let text = format!(
        "[upstreams.only]\nendpoints = [{{ address = \"{upstream}\" }}]\n\
         [[routes]]\nname = \"all\"\nupstream = \"only\"\n{route}\n"
    );
    Process::start(&json!([]), &text).await
}

#[tokio::test]
async fn limits_are_those_of_http1() {
    let gateway = gateway("limits = { body = \"1KiB\" }").await;
    let client = Http2::connect(gateway.web).await;
    let many = (0..101).fold(get("/"), |request, number| request.header(format!("x-{number}"), "1"));
    let tiny = (0..1500).fold(get("/"), |request, number| request.header(format!("a{number}"), ""));
    let large = "x".repeat(8 << 10);
    for (request, expected) in [
        (get("/"), 200),
        (many, 431),
        (tiny, 431),
        (get("/").header("x-large", "x".repeat(65 << 10)), 431),
        (get("/").header("x-large", "x".repeat(60 << 10)), 200),
        (get(&format!("/{large}")), 414),
        (get("/").header("content-length", "2048"), 413),
        (get("/%00"), 400),
        (get("/a").header("x_user_id", "ann"), 400),
        (Request::trace("http://shop.example/"), 405),
        (Request::get("http://shop.example/").method("CONNECT"), 405),
    ] {
        let request = request.body(()).unwrap();
        let shown = format!("{:.80}", format!("{request:?}"));
        let answer = client.ask(request).await;
        match answer {
            Ok(answer) => assert_eq!(answer.status, expected, "{shown}"),
            // What breaks a rule of HTTP/2 itself ends its stream.
            Err(error) => assert!(expected >= 400 && error.is_reset(), "{shown}: {error}"),
        }
    }
    let answer = client.send(get("/").method("POST").body(()).unwrap(), Some("small")).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(client.ask(get("/").method("HEAD").body(()).unwrap()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_refusal_is_a_problem_and_the_others_go_on() {
    let gateway = gateway("match = { path_prefix = \"/known\" }").await;
    let client = Http2::connect(gateway.web).await;
    let refused = client.ask(get("/unknown").body(()).unwrap()).await.unwrap();
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["content-type"]),
        (404, &"application/problem+json".parse().unwrap())
    );
    assert!(refused.body.contains("\"code\":\"no_route\""), "{}", refused.body);
    assert_eq!(refused.headers["server"], "flaggate");
    let head = client.ask(get("/unknown").method("HEAD").body(()).unwrap()).await.unwrap();
    assert_eq!((head.status.as_u16(), head.body.as_str()), (404, ""));
    let posted = client.send(get("/unknown").method("POST").body(()).unwrap(), Some("unwanted")).await.unwrap();
    assert_eq!(posted.status, 404);
    assert_eq!(client.ask(get("/known").body(()).unwrap()).await.unwrap().status, 200);
}

#[tokio::test]
async fn cookies_are_one() {
    let gateway = gateway("").await;
    let client = Http2::connect(gateway.web).await;
    let request = get("/").header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3; d=4");
    let head = client.ask(request.body(()).unwrap()).await.unwrap().body;
    assert_eq!(told(&head, "cookie"), ["a=1; b=2; c=3; d=4"]);
    let crumbs = (0..120).fold(get("/"), |request, number| request.header("cookie", format!("c{number}=1")));
    let head = client.ask(crumbs.body(()).unwrap()).await.unwrap();
    assert_eq!(head.status, 200, "cookies count as one field");
}

/// Row 16 of the promises, as far as HTTP/2 can say it.
#[tokio::test]
async fn there_is_exactly_one_host() {
    let gateway = gateway("rewrite = { strip_prefix = \"/strip\" }").await;
    let client = Http2::connect(gateway.web).await;
    let request = |uri: &str, hosts: &[&str]| {
        let request = Request::get(uri).version(Version::HTTP_2);
        hosts.iter().fold(request, |request, host| request.header("host", *host)).body(()).unwrap()
    };
    for (uri, hosts, expected) in [
        ("http://a.example/", &[][..], Some("a.example")),
        ("http://a.example/strip/x", &[], Some("a.example")),
        ("http://a.example:8080/strip/x", &[], Some("a.example:8080")),
        ("http://a.example/", &["a.example"], Some("a.example")),
        ("http://a.example/strip/x", &["a.example"], Some("a.example")),
        ("http://a.example/", &["b.example"], None),
        ("http://a.example/", &["a.example", "a.example"], None),
        ("http://a.example/", &["a.example", "b.example"], None),
        ("http://user@a.example/", &[], None),
        ("http://a.example/", &["a b"], None),
        ("http://a.example/", &[""], None),
        ("http://a.example/", &["a.example:80"], None),
    ] {
        let answer = client.ask(request(uri, hosts)).await;
        match (expected, answer) {
            (Some(host), Ok(answer)) => assert_eq!(told(&answer.body, "host"), [host], "{uri} {hosts:?}: {answer:?}"),
            (None, Ok(answer)) => assert_eq!(answer.status, 400, "{uri} {hosts:?}"),
            (None, Err(error)) => assert!(error.is_reset(), "{uri} {hosts:?}: {error}"),
            (Some(_), Err(error)) => panic!("{uri} {hosts:?}: {error}"),
        }
    }
}

/// Row 2 of the promises on HTTP/2: whatever a client says of who it is, the upstream hears nothing of it.
#[tokio::test]
async fn protected_headers_are_the_gateways_alone() {
    // A listener that believes nobody.
    let open = free();
    let _gateway = gateway(&format!("[[listeners]]\nname = \"open\"\naddress = \"{open}\"")).await;
    let client = Http2::connect(open).await;
    let names = [
        "x-user-id",
        "x-user-segments",
        "x-user-context",
        "x-flags",
        "x-flaggate-route",
        "x-flaggate-anything",
        "x-flag-theme",
        "x-request-id",
        "x-forwarded-host",
        "x-real-ip",
        "forwarded",
        "proxy-authorization",
    ];
    let mut asked = 0;
    for name in names {
        for values in [&["forged"][..], &["forged", "forged-too"], &["", "forged"]] {
            for more in [None, Some(("te", "trailers"))] {
                let mut request = values.iter().fold(get("/"), |request, value| request.header(name, *value));
                if let Some((name, value)) = more {
                    request = request.header(name, value);
                }
                let answer = client.ask(request.body(()).unwrap()).await.unwrap();
                assert_eq!(answer.status, 200);
                assert!(!answer.body.contains("forged"), "{name}: {}", answer.body);
                for own in ["x-flaggate-route", "x-request-id", "x-forwarded-for", "x-forwarded-host"] {
                    assert_eq!(told(&answer.body, own).len(), 1, "{own}: {}", answer.body);
                }
                asked += 1;
            }
        }
    }
    // What HTTP/2 forbids, and what comes behind the body.
    for (name, value) in [("connection", "x-flaggate-route"), ("te", "x-user-id"), ("upgrade", "h2c")] {
        let request = get("/").header(name, value).header("x-user-id", "forged").body(()).unwrap();
        assert!(client.ask(request).await.is_err(), "{name}: {value}");
    }
    let mut send = client.send.clone().ready().await.unwrap();
    let (answer, mut body) = send.send_request(get("/").method("POST").body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(b"x"), false).unwrap();
    body.send_trailers(http::HeaderMap::from_iter([("x-user-id".parse().unwrap(), "forged".parse().unwrap())]))
        .unwrap();
    let mut body = timeout(PATIENCE, answer).await.unwrap().unwrap().into_body();
    let head = String::from_utf8(body.data().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(!head.contains("forged") && asked == 72, "{head}");
}

/// SIGTERM: clients are told to go, and what they wait for still comes.
#[tokio::test]
async fn who_is_served_while_the_gateway_stops_gets_an_answer() {
    let slow = upstream("slow").await;
    let text = format!(
        "[upstreams.only]\nendpoints = [{{ address = \"{slow}\" }}]\n[[routes]]\nname = \"all\"\nupstream = \"only\"\n"
    );
    let mut gateway = Process::start(&json!([]), &text).await;
    let (idle, busy) = (Http2::connect(gateway.web).await, Http2::connect(gateway.web).await);
    assert_eq!(idle.ask(get("/").body(()).unwrap()).await.unwrap().body, "slow");
    // Its body is not over, so that it is in flight.
    let mut send = busy.send.clone().ready().await.unwrap();
    let (answer, mut body) = send.send_request(get("/").method("POST").body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(b"1"), false).unwrap();
    sleep(Duration::from_millis(100)).await;
    let id = gateway.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let told = timeout(PATIENCE, idle.connection).await.expect("the idle one is told at once").unwrap();
    assert!(told.is_ok(), "{told:?}");
    assert!(gateway.process.try_wait().unwrap().is_none(), "one request is still in flight");
    body.send_data(Bytes::from_static(b"2"), true).unwrap();
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let mut rest = answer.into_body();
    assert_eq!(timeout(PATIENCE, rest.data()).await.unwrap().unwrap().unwrap(), "slow");
    let waiting = async {
        while gateway.process.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it ends with its last request");
}
