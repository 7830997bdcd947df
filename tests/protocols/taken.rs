//! What the gateway takes and refuses, asked for in the same way on HTTP/1.1 and on HTTP/2.

use std::fmt::Write as _;

use http::Request;
use serde_json::Value;

use crate::{
    clients::{Http2, exchange},
    http2::gateway,
    process::Process,
};

/// A request; `method target`, and headers.
type Asked<'a> = (&'a str, &'a str, Vec<(String, String)>);

/// The status and the body of an answer; status 0: the stream was reset.
async fn on_http1(gateway: &Process, (method, target, headers): &Asked<'_>) -> (u16, String) {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    let stream = tokio::net::TcpStream::connect(gateway.web).await.unwrap();
    let answer = exchange(stream, (request + "\r\n").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {target}: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn on_http2(gateway: &Process, (method, target, headers): &Asked<'_>) -> (u16, String) {
    let client = Http2::connect(gateway.web).await;
    let request = Request::builder().method(*method).uri(format!("http://shop.example{target}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    match client.ask(request.body(()).unwrap()).await {
        Ok(answer) => (answer.status.as_u16(), answer.body),
        Err(error) if error.is_reset() => (0, String::new()),
        Err(error) => panic!("{method} {target}: {error}"),
    }
}

fn fields(count: usize, value: &str) -> Vec<(String, String)> {
    (0..count).map(|number| (format!("x-field-{number}"), value.to_owned())).collect()
}

fn one(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

#[tokio::test]
async fn both_protocols_take_and_refuse_the_same() {
    let gateway = gateway("limits = { body = \"1KiB\" }").await;
    let (long, too_long) = (format!("/{}", "x".repeat(8_000)), format!("/{}", "x".repeat(8_192)));
    let mut cases: Vec<(Asked<'_>, u16)> = Vec::new();
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "PROPFIND", "VERSION-CONTROL", "QUERY"] {
        cases.push(((method, "/", vec![]), 200));
    }
    for method in ["TRACE", "BREW", "get", "GETS", "TRACK", "DEBUG", "PRI"] {
        cases.push(((method, "/", vec![]), 405));
    }
    for target in ["/a/../b", "/a/./b", "//a//b", "/a%2e/b", "/a?b=/../c", "/%7euser", "/a;b/c", &long] {
        cases.push((("GET", target, vec![]), 200));
    }
    for target in ["/a%2fb", "/a%2Fb", "/a%5cb", "/%00", "/a/..;/b", "/.;/a", "/a/%2e%2e;x/b", "/a%zz", "/a%2"] {
        cases.push((("GET", target, vec![]), 400));
    }
    cases.push((("GET", &too_long, vec![]), 414));
    for (headers, expected) in [
        (one("x_user_id", "ann"), 400),
        (fields(90, "1"), 200),
        (fields(101, "1"), 431),
        (fields(60, &"x".repeat(1_000)), 200),
        (fields(70, &"x".repeat(1_000)), 431),
    ] {
        cases.push((("GET", "/", headers), expected));
    }
    for (asked, expected) in &cases {
        let what = format!("{:.100}", format!("{asked:?}"));
        let (http1, http2) = (on_http1(&gateway, asked).await, on_http2(&gateway, asked).await);
        assert_eq!((http1.0, http2.0), (*expected, *expected), "{what} {http1:?} {http2:?}");
        for (status, body) in [http1, http2] {
            // A list of fields that is far too large is refused by HTTP/2 itself, without a word.
            if status >= 400 && !(status == 431 && body.is_empty()) {
                let problem: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(problem["status"], status, "{what}");
                assert!(!problem["request_id"].as_str().unwrap().is_empty(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_told_before_it_is_read() {
    let gateway = gateway("limits = { body = \"1KiB\" }").await;
    let asked = ("POST", "/", one("content-length", "2048"));
    assert_eq!(on_http1(&gateway, &asked).await.0, 413);
    let request = Request::post("http://shop.example/").header("content-length", "2048").body(()).unwrap();
    let answer = Http2::connect(gateway.web).await.send(request, Some("x".repeat(2_048).leak())).await.unwrap();
    assert_eq!(answer.status, 413, "{answer:?}");
}

/// Lengths that others may read otherwise. On HTTP/2 a length that is not that of the body breaks its rules anyway.
#[tokio::test]
async fn a_length_is_one_canonical_number() {
    let gateway = gateway("").await;
    for (lengths, expected) in [
        (&["0"][..], 200),
        (&["00"], 400),
        (&["007"], 400),
        (&["+0"], 400),
        (&["-0"], 400),
        (&["0x0"], 400),
        (&["0, 0"], 400),
        (&["0", "0"], 400),
        (&["0", "1"], 400),
        (&[""], 400),
    ] {
        let headers: Vec<_> =
            lengths.iter().map(|length| ("content-length".to_owned(), (*length).to_owned())).collect();
        let asked = ("POST", "/", headers);
        assert_eq!(on_http1(&gateway, &asked).await.0, expected, "{lengths:?}");
        let status = on_http2(&gateway, &asked).await.0;
        assert!(status == expected || (expected == 400 && status == 0), "{lengths:?}: {status}");
    }
}

/// A problem is written as the client wants it.
#[tokio::test]
async fn a_refusal_is_told_as_the_client_reads_it() {
    let gateway = gateway("match = { path_prefix = \"/known\" }").await;
    for (accept, is_html) in [("*/*", false), ("application/json", false), ("text/html,*/*;q=0.8", true)] {
        let asked = ("GET", "/unknown", one("accept", accept));
        for (status, body) in [on_http1(&gateway, &asked).await, on_http2(&gateway, &asked).await] {
            assert_eq!((status, body.trim_start().starts_with('<')), (404, is_html), "{accept}: {body}");
        }
    }
}
