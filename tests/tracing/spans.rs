//! What spans say.

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};

use crate::{
    collector::{Collector, hex, text, texts},
    harness::{Gateway, HASHED, hashing, secret},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn tracing(collector: &Collector, more: &str) -> String {
    format!("tracing = {{ endpoint = \"http://{}\", {more} }}", collector.address)
}

/// The spans of one request: the server's, and the client's if there is one.
fn pair(spans: Vec<Span>) -> (Span, Option<Span>) {
    let (mut server, client): (Vec<_>, Vec<_>) =
        spans.into_iter().partition(|span| span.kind == SpanKind::Server as i32);
    assert_eq!((server.len(), client.len() <= 1), (1, true));
    (server.remove(0), client.into_iter().next())
}

#[test]
fn a_request_has_a_span_and_its_call_another() {
    let collector = Collector::start();
    let gateway = Gateway::start(&tracing(&collector, "resource = { \"k8s.pod.name\" = \"p-1\" }"));
    let headers =
        format!("X-User-Id: ada\r\nX-Request-Id: r-1\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=1\r\n");
    assert_eq!(gateway.get("/shop/cart?secret=1", &headers).0, 200);
    let (server, client) = pair(collector.spans(2));
    let client = client.unwrap();

    assert_eq!((hex(&server.trace_id), hex(&client.trace_id)), (TRACE.to_owned(), TRACE.to_owned()));
    assert_eq!((hex(&server.parent_span_id), &client.parent_span_id), (PARENT.to_owned(), &server.span_id));
    assert_eq!((server.trace_state.as_str(), client.trace_state.as_str()), ("a=1", "a=1"));
    // Sampled, and the parent is known to be elsewhere or here.
    assert_eq!((server.flags, client.flags), (0x301, 0x101));
    assert_eq!((server.name.as_str(), client.name.as_str()), ("GET /shop", "GET"));
    assert_eq!((server.status, client.status, client.kind), (None, None, SpanKind::Client as i32));
    assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
    assert!(client.start_time_unix_nano < client.end_time_unix_nano);
    assert_eq!(client.end_time_unix_nano, server.end_time_unix_nano);
    assert_eq!(
        texts(&server.attributes),
        [
            "flaggate.request_id=r-1",
            "flaggate.revision=#3",
            "flaggate.route=shop",
            "flaggate.strategy=canary",
            "flaggate.upstream=next",
            "http.request.method=GET",
            "http.response.status_code=#200",
            "http.route=/shop",
            "network.protocol.version=1.1",
            "server.address=shop.example",
            "server.port=#8080",
            "url.path=/cart",
            "url.scheme=http",
        ]
    );
    let address = text(&client.attributes, "server.port").unwrap().replace('#', "127.0.0.1:");
    assert_eq!(
        texts(&client.attributes),
        [
            "flaggate.upstream=next".to_owned(),
            "http.request.method=GET".to_owned(),
            "http.response.status_code=#200".to_owned(),
            "server.address=127.0.0.1".to_owned(),
            format!("server.port=#{}", &address["127.0.0.1:".len()..]),
            format!("url.full=http://{address}/cart"),
        ]
    );

    let events: Vec<_> = server.events.iter().map(|event| (event.name.as_str(), texts(&event.attributes))).collect();
    let event = |key: &str, reason: &str, own: &str, variant: &str| {
        let mut texts = vec![
            format!("feature_flag.key={key}"),
            "feature_flag.provider.name=flaggate".to_owned(),
            format!("feature_flag.result.reason={reason}"),
            format!("feature_flag.result.variant={variant}"),
            "feature_flag.set.id=staging".to_owned(),
            "feature_flag.version=3".to_owned(),
            format!("flaggate.reason={own}"),
        ];
        texts.sort();
        ("feature_flag.evaluation", texts)
    };
    assert_eq!(
        events,
        [
            event("canary", "split", "rollout", "true"),
            event("theme", "targeting_match", "targeting_match", "red, \"1\""),
            event("off", "disabled", "flag_disabled", "false"),
        ]
    );

    let resource = collector.resource();
    let scope = resource.scope_spans[0].scope.as_ref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("flaggate", env!("CARGO_PKG_VERSION")));
    let resource = resource.resource.unwrap();
    for (key, value) in [
        ("service.name", "flaggate"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "staging"),
        ("k8s.pod.name", "p-1"),
    ] {
        assert_eq!(text(&resource.attributes, key).as_deref(), Some(value), "{key}");
    }
    assert!(text(&resource.attributes, "service.instance.id").is_some());
}

#[test]
fn nothing_personal_is_sent_unless_it_is_asked_for() {
    let headers = "X-User-Id: ada\r\nCookie: c=SECRET\r\nAuthorization: SECRET\r\nUser-Agent: SECRET\r\n";
    let secret = secret();
    let hashing = hashing(&secret);
    for (more, privacy, name, ids) in
        [("", "", "ada", 0), (", user_id = true", "", "ada", 3), (", user_id = true", &*hashing, HASHED, 3)]
    {
        let collector = Collector::start();
        let more = format!("sample = \"100%\"{more}");
        let gateway = Gateway::start(&format!("{}\n{privacy}", tracing(&collector, &more)));
        assert_eq!(gateway.get("/shop/?q=SECRET", headers).0, 200);
        let spans = collector.spans(2);
        let told = format!("{spans:?}");
        assert!(name == "ada" || !told.contains("\"ada\""), "{told}");
        assert!(!told.contains("SECRET") && told.matches(&format!("{name:?}")).count() == ids, "{told}");
        let named = |span: &Span| {
            span.events.iter().filter(|event| text(&event.attributes, "feature_flag.context.id").is_some()).count()
        };
        assert_eq!(spans.iter().map(named).sum::<usize>(), ids);
    }
}

#[test]
fn what_went_wrong_is_told() {
    let collector = Collector::start();
    let gateway = Gateway::start(&tracing(&collector, "sample = \"100%\""));
    let mut seen = 0;
    let mut check = |request: &str, status: u16, server: &[&str], client: Option<&[&str]>| {
        assert_eq!(gateway.client().request(request).0, status, "{request}");
        let spans = 1 + usize::from(client.is_some());
        let (own, call) = pair(collector.spans(seen + spans)[seen..].to_vec());
        seen += spans;
        let failed = |span: &Span| span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32);
        let told = |span: &Span, wanted: &[&str]| {
            let mut all = texts(&span.attributes);
            all.push(format!("name={}", span.name));
            let missing: Vec<_> = wanted.iter().filter(|wanted| !all.iter().any(|told| told == *wanted)).collect();
            assert!(missing.is_empty(), "{missing:?} {all:?}");
            assert_eq!(failed(span), wanted.iter().any(|wanted| wanted.starts_with("error.type=")), "{all:?}");
            assert_eq!(failed(span), text(&span.attributes, "error.type").is_some(), "{all:?}");
        };
        told(&own, server);
        assert_eq!(call.is_some(), client.is_some());
        if let (Some(span), Some(wanted)) = (&call, client) {
            told(span, wanted);
        }
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    check(&get("/nowhere"), 404, &["name=GET", "http.response.status_code=#404", "url.path=/nowhere"], None);
    check(
        &get("/shop/fail"),
        503,
        &["name=GET /shop", "http.response.status_code=#503", "error.type=503"],
        Some(&["http.response.status_code=#503", "error.type=503"]),
    );
    check(
        &get("/dead"),
        502,
        &["name=GET /dead", "http.response.status_code=#502", "error.type=connect_failed", "flaggate.upstream=dead"],
        Some(&["error.type=connect_failed"]),
    );
    check(
        "PROPFIND /shop/a HTTP/1.1\r\nHost: [::1]:81\r\nContent-Length: 0\r\n\r\n",
        200,
        &[
            "name=HTTP /shop",
            "http.request.method=_OTHER",
            "http.request.method_original=PROPFIND",
            "server.address=::1",
            "server.port=#81",
        ],
        Some(&["name=HTTP", "http.request.method=_OTHER"]),
    );
}
