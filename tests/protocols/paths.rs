//! Row 15 of the promises: the path that chooses the route is the one that its upstream gets.

use std::fmt::Write as _;

use serde_json::json;
use tokio::net::TcpStream;

use crate::{
    clients::{exchange, mirror, told},
    process::Process,
};

/// Routes, with their prefixes, and whether they merge slashes.
const ROUTES: [(&str, &str, bool); 4] =
    [("all", "/", true), ("admin", "/admin", true), ("exact", "/exact", false), ("within", "/exact/admin", true)];

/// The route of a path, told without a table: the longest prefix, by segments without parameters.
fn route_of(path: &str) -> &'static str {
    let segments: Vec<&str> = path.split('/').skip(1).map(|segment| segment.split(';').next().unwrap()).collect();
    let is_below = |prefix: &str| prefix == "/" || segments.starts_with(&prefix[1..].split('/').collect::<Vec<_>>());
    let found = ROUTES.iter().filter(|(_, prefix, _)| is_below(prefix));
    found.max_by_key(|(_, prefix, _)| prefix.len()).unwrap().0
}

/// Whether another reader could take a path for another one.
fn is_plain(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    let lower = path.to_ascii_lowercase();
    let coded = ["%2e", "%2f", "%5c", "%00", "%61", "%7e"].iter().any(|code| lower.contains(code));
    !coded
        && !path.contains('\\')
        && !segments.iter().any(|segment| matches!(segment.split(';').next().unwrap(), "." | ".."))
}

#[tokio::test]
async fn what_is_matched_is_what_is_forwarded() {
    let upstream = mirror().await;
    let mut text = format!("[upstreams.only]\nendpoints = [{{ address = \"{upstream}\" }}]\n");
    for (name, prefix, merges) in ROUTES {
        writeln!(text, "[[routes]]\nname = \"{name}\"\nupstream = \"only\"\nmatch = {{ path_prefix = \"{prefix}\" }}\nmerge_slashes = {merges}").unwrap();
    }
    let gateway = Process::start(&json!([]), &text).await;
    let parts = [
        "admin",
        "exact",
        "..",
        ".",
        "",
        "%61dmin",
        "%2e%2e",
        "a%2fadmin",
        "..;x",
        "admin;v=1",
        "%5c",
        "a\\b",
        "ADMIN",
    ];
    let mut paths: Vec<String> = Vec::new();
    for first in parts {
        for second in parts {
            paths.extend([
                format!("/{first}/{second}"),
                format!("/x/{first}/{second}/y"),
                format!("//{first}/{second}"),
            ]);
        }
    }
    let (mut forwarded, mut refused) = (0, 0);
    for path in &paths {
        let request = format!("GET {path}?q=/../admin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = exchange(TcpStream::connect(gateway.web).await.unwrap(), request.as_bytes()).await;
        if !answer.starts_with("HTTP/1.1 200") {
            assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
            refused += 1;
            continue;
        }
        let head = answer.split_once("\r\n\r\n").unwrap().1;
        let target = head.strip_prefix("get ").unwrap().split(' ').next().unwrap();
        let sent = target.strip_suffix("?q=/../admin").unwrap_or_else(|| panic!("{path}: {target}"));
        let route = told(head, "x-flaggate-route")[0].split(';').next().unwrap();
        // The mirror answers in lower case, so what is `ADMIN` was one to nobody.
        if !path.contains("ADMIN") {
            assert_eq!(route, route_of(sent), "{path} was forwarded as {sent}");
        }
        assert!(is_plain(sent), "{path} was forwarded as {sent}");
        assert!(!sent.contains("//") || route == "exact", "{path} was forwarded as {sent}");
        forwarded += 1;
    }
    assert_eq!(forwarded + refused, 507);
    assert!(forwarded > 150 && refused > 150, "{forwarded} forwarded, {refused} refused");
}
