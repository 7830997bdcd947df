//! What the upstream is told, and what is sampled.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::{
    collector::{Collector, hex},
    harness::{Gateway, header},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn tracing(collector: &Collector, sample: &str) -> String {
    format!("tracing = {{ endpoint = \"http://{}\", sample = \"{sample}\" }}", collector.address)
}

/// The trace, the parent and the flags in the one `traceparent` that the upstream saw.
fn told(head: &str) -> (String, String, String) {
    let values = header(head, "traceparent");
    assert_eq!(values.len(), 1, "{head}");
    let parts: Vec<&str> = values[0].split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{head}");
    (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned())
}

#[test]
fn the_upstream_is_told_of_the_gateways_own_span() {
    let collector = Collector::start();
    let gateway = Gateway::start(&tracing(&collector, "0%"));
    // A parent decides, whatever the share.
    let mut client = gateway.client();
    for (flags, version) in [("01", "00"), ("00", "00"), ("03", "00"), ("01", "cc")] {
        let headers = format!(
            "Traceparent: {version}-{TRACE}-{PARENT}-{flags}\r\ntracestate: a=1,b=2\r\nTraceState: c=3\r\nX-Request-Id: {flags}\r\n"
        );
        let (status, head) = client.get("/shop/", &headers);
        let (trace, parent, passed) = told(&head);
        assert_eq!((status, trace.as_str(), passed.as_str()), (200, TRACE, flags));
        assert_ne!(parent, PARENT);
        assert_eq!(header(&head, "tracestate"), ["a=1,b=2,c=3"]);
    }
    let spans = collector.spans(6);
    let (_, head) = client.get("/shop/", &format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n"));
    assert_eq!(header(&head, "tracestate"), [""; 0]);
    let parent = told(&head).1;
    let spans: Vec<_> = collector.spans(spans.len() + 2).split_off(spans.len());
    let client = spans.iter().find(|span| span.kind == SpanKind::Client as i32).unwrap();
    assert_eq!(hex(&client.span_id), parent);
    assert_eq!(collector.spans_now().len(), 8);
}

#[test]
fn a_share_of_new_traces_is_recorded_and_the_upstream_knows_which() {
    let collector = Collector::start();
    let gateway = Gateway::start(&tracing(&collector, "1%"));
    let mut client = gateway.client();
    let mut sampled = BTreeSet::new();
    let mut all = BTreeSet::new();
    for _ in 0..4_000 {
        let (trace, _, flags) = told(&client.get("/shop/", "").1);
        if flags == "01" {
            sampled.insert(trace.clone());
        }
        assert!(all.insert(trace));
    }
    // Five standard deviations.
    assert!((9..=71).contains(&sampled.len()), "{}", sampled.len());
    let spans = collector.spans(sampled.len() * 2);
    let recorded: BTreeSet<String> = spans.iter().map(|span| hex(&span.trace_id)).collect();
    assert_eq!((recorded, spans.len()), (sampled.clone(), sampled.len() * 2));
    assert_eq!(gateway.await_metric("flaggate_spans_exported_total", spans.len() as u64), spans.len() as u64);
}

#[test]
fn a_malformed_parent_begins_a_trace() {
    let collector = Collector::start();
    let gateway = Gateway::start(&tracing(&collector, "0%"));
    let good = format!("00-{TRACE}-{PARENT}-01");
    let mut client = gateway.client();
    for headers in [
        format!("traceparent: ff-{TRACE}-{PARENT}-01\r\n"),
        format!("traceparent: 00-{}-{PARENT}-01\r\n", "0".repeat(32)),
        format!("traceparent: 00-{TRACE}-{}-01\r\n", "0".repeat(16)),
        format!("traceparent: {}\r\n", good.to_uppercase()),
        format!("traceparent: {good}-extra\r\n"),
        format!("traceparent: {good}.\r\n"),
        format!("traceparent: {}\r\n", &good[..54]),
        format!("traceparent: {good}\r\ntraceparent: {good}\r\n"),
        format!("traceparent: {good}, {good}\r\n"),
        format!("traceparent: {good}\r\nTraceParent: 00-{TRACE}-b7ad6b7169203331-01\r\n"),
        "traceparent: \r\n".to_owned(),
        String::new(),
    ] {
        let (status, head) = client.get("/shop/", &format!("{headers}tracestate: a=1\r\n"));
        let (trace, _, flags) = told(&head);
        assert_eq!((status, flags.as_str(), trace == TRACE), (200, "00", false), "{headers}");
        assert_eq!(header(&head, "tracestate"), [""; 0], "{headers}");
    }
    // A state that is malformed goes, and the trace goes on.
    let (_, head) = client.get("/shop/", &format!("traceparent: {good}\r\ntracestate: a=1,a=2\r\n"));
    assert_eq!((told(&head).0.as_str(), header(&head, "tracestate").len()), (TRACE, 0));
}

#[test]
fn the_trace_of_a_peer_that_is_not_trusted_is_linked() {
    let collector = Collector::start();
    let gateway = Gateway::start_with(&tracing(&collector, "100%"), "");
    let headers = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=1\r\n");
    let (trace, ..) = told(&gateway.get("/shop/", &headers).1);
    assert_ne!(trace, TRACE);
    let spans = collector.spans(2);
    let server = spans.iter().find(|span| span.kind == SpanKind::Server as i32).unwrap();
    assert_eq!((hex(&server.trace_id), server.parent_span_id.len(), server.flags), (trace, 0, 0x101));
    let link = &server.links[0];
    assert_eq!((hex(&link.trace_id).as_str(), hex(&link.span_id).as_str()), (TRACE, PARENT));
    assert_eq!((server.links.len(), link.flags), (1, 0x301));
}

#[test]
fn without_tracing_the_clients_trace_passes_through() {
    let gateway = Gateway::start("");
    let headers = "traceparent: whatever\r\ntraceparent: twice\r\ntracestate: x\r\nbaggage: flag.theme=red\r\n";
    let (_, head) = gateway.get("/shop/", headers);
    assert_eq!(header(&head, "traceparent"), ["whatever", "twice"]);
    assert_eq!(
        (header(&head, "tracestate"), header(&head, "baggage")),
        (vec!["x".into()], vec!["flag.theme=red".into()])
    );
    assert_eq!(gateway.metric("flaggate_spans_exported_total"), None);
}

#[test]
fn baggage_tells_of_the_flags() {
    let gateway = Gateway::start("inject.baggage = true");
    let headers = "X-User-Id: ada\r\nbaggage: a=1;p, fl%61g.theme=forged\r\nBaggage: flag.canary=forged,b=2\r\n";
    let (_, head) = gateway.get("/shop/", headers);
    assert_eq!(header(&head, "baggage"), ["a=1;p,b=2,flag.canary=true,flag.theme=red%2C%20%221%22,flag.off=false"]);
}
