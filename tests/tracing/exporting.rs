//! How spans come to the collector, and what happens when it is slow, ill or gone.

use std::time::Duration;

use crate::{
    collector::{Answer, Collector, OK, PATIENCE},
    harness::{Gateway, free, header},
};

const ROOM: &str = "flaggate_spans_dropped_total{reason=\"queue_full\"}";
const FAILED: &str = "flaggate_spans_dropped_total{reason=\"export_failed\"}";
const REJECTED: &str = "flaggate_spans_dropped_total{reason=\"rejected\"}";
const EXPORTED: &str = "flaggate_spans_exported_total";

fn all(endpoint: &str, more: &str) -> String {
    format!("tracing = {{ endpoint = \"{endpoint}\", sample = \"100%\", {more} }}")
}

/// Requests that all succeed; 2 spans each.
fn requests(gateway: &Gateway, count: usize) {
    let mut client = gateway.client();
    for _ in 0..count {
        assert_eq!(client.get("/shop/", "").0, 200);
    }
}

#[test]
fn batches_go_over_one_connection_with_their_headers() {
    let collector = Collector::start();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "Bearer one\n").unwrap();
    let more = format!(
        "headers = {{ \"X-Tenant\" = \"shop\" }}, header_files = {{ Authorization = {:?} }}",
        secret.path().to_str().unwrap()
    );
    let gateway = Gateway::start(&all(&format!("http://{}/custom/path", collector.address), &more));
    requests(&gateway, 1);
    collector.spans(2);
    // A secret is read anew.
    std::fs::write(secret.path(), "Bearer two\n").unwrap();
    requests(&gateway, 1);
    collector.spans(4);
    let heads = collector.heads(2);
    for (head, bearer) in heads.iter().zip(["Bearer one", "Bearer two"]) {
        assert!(head.starts_with("POST /custom/path HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(head, "x-tenant"), ["shop"]);
        assert_eq!(header(head, "authorization"), [bearer]);
        assert_eq!(header(head, "content-type"), ["application/x-protobuf"]);
        assert_eq!(header(head, "host"), [collector.address.to_string()]);
    }
    assert_eq!((heads.len(), collector.connections()), (2, 1));
    assert!(!gateway.read("log").contains("Bearer"));
}

#[test]
fn spans_go_over_tls_to_who_can_prove_himself() {
    let collector = Collector::with_tls();
    let url = format!("https://localhost:{}", collector.address.port());
    let ca = |file: &str| format!("ca = \"{}/tests/data/tls/{file}\"", env!("CARGO_MANIFEST_DIR"));
    let trusting = Gateway::start(&all(&url, &ca("ca.pem")));
    requests(&trusting, 1);
    collector.spans(2);
    assert!(collector.heads(1)[0].starts_with("POST /v1/traces "));
    let wary = Gateway::start(&all(&url, &ca("another-ca.pem")));
    requests(&wary, 1);
    let by = flaggate::clock::monotonic() + PATIENCE;
    while !wary.read("log").contains("failed to export spans") {
        assert!(flaggate::clock::monotonic() < by, "{}", wary.read("log"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(collector.spans_now().len(), 2);
}

#[test]
fn what_passes_is_tried_again() {
    let collector = Collector::answering(vec![
        Answer::Status("503 Service Unavailable\r\nRetry-After: 0\r\n"),
        Answer::Status("429 Too Many Requests\r\nRetry-After: 0\r\n"),
        Answer::HangUp,
        Answer::Status("502 Bad Gateway\r\n"),
        OK,
    ]);
    let gateway = Gateway::start(&all(&format!("http://{}", collector.address), ""));
    requests(&gateway, 1);
    assert_eq!(collector.spans(2).len(), 2);
    assert_eq!(gateway.await_metric(EXPORTED, 2), 2);
    assert_eq!((gateway.metric(ROOM), gateway.metric(FAILED), gateway.metric(REJECTED)), (Some(0), Some(0), Some(0)));
    let log = gateway.read("log");
    assert_eq!(log.matches("failed to export spans").count(), 1, "{log}");
    assert_eq!(log.matches("takes spans again").count(), 1, "{log}");
}

#[test]
fn what_does_not_pass_is_counted() {
    let collector =
        Collector::answering(vec![Answer::Status("400 Bad Request\r\n"), Answer::Rejected(1), Answer::Rejected(100)]);
    let gateway = Gateway::start(&all(&format!("http://{}", collector.address), ""));
    for (failed, exported, rejected) in [(2, 0, 0), (2, 1, 1), (2, 1, 3)] {
        requests(&gateway, 1);
        assert_eq!(gateway.await_metric(FAILED, failed), failed);
        assert_eq!(gateway.await_metric(REJECTED, rejected), rejected);
        assert_eq!(gateway.await_metric(EXPORTED, exported), exported);
    }
    assert_eq!(collector.heads(3).len(), 3);
}

#[test]
fn a_collector_that_is_down_is_nobodys_business() {
    let address = free();
    let gateway = Gateway::start(&all(&format!("http://{address}"), "queue = \"64KiB\", timeout = \"1s\""));
    requests(&gateway, 300);
    let dropped = gateway.metric(ROOM).unwrap();
    // What waits takes 1 KiB at least for each request.
    assert!((600 - 2 * 64..600).contains(&dropped), "{dropped}");
    assert_eq!(gateway.metric(EXPORTED), Some(0));
    let collector = Collector::at(address, vec![OK], None);
    let taken = usize::try_from(600 - dropped).unwrap();
    assert_eq!(collector.spans(taken).len(), taken);
    // There is room again.
    requests(&gateway, 1);
    assert_eq!(collector.spans(taken + 2).len(), taken + 2);
    assert_eq!((gateway.metric(ROOM), gateway.metric(FAILED)), (Some(dropped), Some(0)));
}

#[test]
fn a_collector_that_never_answers_is_given_up_at_the_end() {
    let collector = Collector::answering(vec![Answer::Never]);
    let more = "queue = \"64KiB\", timeout = \"300ms\"";
    let mut gateway = Gateway::start(&all(&format!("http://{}", collector.address), more));
    requests(&gateway, 100);
    collector.heads(2);
    assert!(gateway.metric(ROOM).unwrap() > 0);
    let begun = flaggate::clock::monotonic();
    gateway.stop();
    assert!(flaggate::clock::monotonic().duration_since(begun) < Duration::from_secs(10));
}

#[test]
fn the_last_spans_are_sent_at_the_end() {
    let collector = Collector::start();
    let mut gateway = Gateway::start(&all(&format!("http://{}", collector.address), ""));
    requests(&gateway, 50);
    gateway.stop();
    assert_eq!(collector.spans_now().len(), 100);
}
