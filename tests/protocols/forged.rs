//! Rows 2 and 20 of the promises: whatever a client says in the gateway's name, the upstream hears the gateway alone.

use http::Request;
use serde_json::json;
use tokio::net::TcpStream;

use crate::{
    clients::{Http2, exchange, mirror, told},
    process::Process,
    upstream::free,
};

const NAMES: [&str; 14] = [
    "x-user-id",
    "x-user-segments",
    "x-user-context",
    "x-flags",
    "x-flag-theme",
    "x-flaggate-route",
    "x-flaggate-truncated",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "forwarded",
    "x-theme",
];

/// A name as others might take it for the same.
fn spellings(name: &str) -> Vec<String> {
    let upper = name.to_ascii_uppercase();
    let title: String =
        name.split('-').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect::<Vec<_>>().join("-");
    let mut all = vec![name.to_owned(), upper, title, name.replace('-', "_")];
    all.extend([".", "~", "!"].map(|sign| name.replace('-', sign)));
    all.dedup();
    all
}

/// Two listeners: one believes nobody, the other its peers.
async fn gateway() -> (Process, std::net::SocketAddr) {
    let (upstream, open) = (mirror().await, free());
    let flags = json!([{ "key": "theme", "name": "Theme", "flag_type": "string", "default_value": "dark" }]);
    let text = format!(
        "[[listeners]]\nname = \"open\"\naddress = \"{open}\"\n[upstreams.only]\nendpoints = [{{ address = \"{upstream}\" }}]\n\
         [[routes]]\nname = \"all\"\nupstream = \"only\"\n\
         flag_headers = [{{ flag = \"theme\", header = \"X-Theme\" }}, {{ flag = \"missing\", header = \"X-Missing\" }}]\n"
    );
    (Process::start(&flags, &text).await, open)
}

/// What the upstream heard is nothing of the client's, and all of the gateway's once.
fn check(head: &str, what: &str) {
    assert!(!head.contains("forged"), "{what}: {head}");
    for own in
        ["x-flaggate-route", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-theme"]
    {
        assert_eq!(told(head, own).len(), 1, "{what}: {own}: {head}");
    }
}

#[tokio::test]
async fn nothing_forged_comes_through() {
    let (_gateway, open) = gateway().await;
    let client = Http2::connect(open).await;
    let mut variants = [0, 0];
    for name in NAMES.into_iter().chain(["x-missing"]) {
        for spelling in spellings(name) {
            for lines in [1, 2] {
                let said = format!("{spelling}: forged\r\n").repeat(lines);
                for more in ["", &format!("Connection: {spelling}\r\n"), "Connection: X-Flaggate-Route\r\n"] {
                    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}{said}\r\n");
                    let answer = exchange(TcpStream::connect(open).await.unwrap(), request.as_bytes()).await;
                    // pingora refuses to nominate some of them.
                    if spelling.contains('_') || (more.contains(&spelling) && answer.starts_with("HTTP/1.1 400")) {
                        assert!(answer.starts_with("HTTP/1.1 400"), "{request}{answer}");
                    } else {
                        assert!(answer.starts_with("HTTP/1.1 200"), "{request}{answer}");
                        check(answer.split_once("\r\n\r\n").unwrap().1, &request);
                    }
                    variants[0] += 1;
                }
                let request = Request::get("http://a/");
                let request = (0..lines).fold(request, |request, _| request.header(&spelling, "forged"));
                let answer = client.ask(request.body(()).unwrap()).await.unwrap();
                if spelling.contains('_') {
                    assert_eq!(answer.status, 400, "{spelling}");
                } else {
                    assert_eq!(answer.status, 200, "{spelling}");
                    check(&answer.body, &spelling);
                }
                variants[1] += 1;
            }
        }
        let chunked = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: {name}\r\nTransfer-Encoding: chunked\r\n\r\n\
             1\r\nx\r\n0\r\n{name}: forged\r\n\r\n"
        );
        let answer = exchange(TcpStream::connect(open).await.unwrap(), chunked.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("forged"), "{name}: {answer}");
        variants[0] += 1;
    }
    assert!(variants.iter().all(|variants| *variants >= 160), "{variants:?}");
}

/// All lines of a proxy's list are one list.
#[tokio::test]
async fn a_list_in_several_lines_stays_whole() {
    let (gateway, open) = gateway().await;
    for (address, lines, expected) in [
        (gateway.web, &[][..], "127.0.0.1"),
        (gateway.web, &["1.2.3.4"], "1.2.3.4, 127.0.0.1"),
        (gateway.web, &["6.6.6.6", "1.2.3.4"], "6.6.6.6, 1.2.3.4, 127.0.0.1"),
        (
            gateway.web,
            &["6.6.6.6,\t5.5.5.5", "1.2.3.4", "", "2001:db8::1"],
            "6.6.6.6, 5.5.5.5, 1.2.3.4, 2001:db8::1, 127.0.0.1",
        ),
        (gateway.web, &["6.6.6.6", "\u{e9}", "1.2.3.4"], "1.2.3.4, 127.0.0.1"),
        (open, &["6.6.6.6", "1.2.3.4"], "127.0.0.1"),
    ] {
        let lines: String = lines.iter().map(|line| format!("X-Forwarded-For: {line}\r\n")).collect();
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
        let answer = exchange(TcpStream::connect(address).await.unwrap(), request.as_bytes()).await;
        assert_eq!(told(&answer, "x-forwarded-for"), [expected], "{request}{answer}");
    }
}
