//! How many instructions a request takes of the gateway itself, and an evaluation: a number that does not depend on what else the
//! machine does, so that it can be a bound. `make bench-instructions` fails when one takes 3 % more than is written here.
//!
//! The phases of a request are those that pingora calls, on a request that it has read; what pingora does between them, and the
//! kernel, is not counted. The numbers are those of Rust 1.95: another toolchain has its own.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]
#![expect(missing_docs, reason = "macros write items without documentation")]

use std::{hint::black_box, sync::Arc};

use flaggate::{
    config::{Config, Current},
    drain::Drain,
    gateway::{Gateway, Parts, RoutingCell, Sources},
    model::{Context, DocumentKey, WorldRevision},
    recent::Recent,
    snapshot::{Publisher, Snapshot, SnapshotCell, World},
    telemetry::{AccessLog, Arms, Metrics, Observers, Privacy, access_log::Writer},
};
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use jiff::Timestamp;
use pingora::{
    http::ResponseHeader,
    proxy::{ProxyHttp as _, Session},
};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream},
    runtime::Runtime,
};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fails above these instructions and 3 % more.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions + instructions * 3 / 100)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

/// A flag with one prerequisite, two rules and a percentage.
fn typical(key: &str) -> Value {
    json!({"key": key, "name": key, "prerequisites": ["base"], "targeting_enabled": true, "rollout_enabled": true, "rollout_percentage": 50,
    "variants": {"on": true, "off": false}, "tags": ["checkout", "web"], "targeting_rules": [
        {"attribute": "country", "operator": "in", "value": ["US", "CA", "MX"], "return_value": true},
        {"attribute": "plan", "operator": "equals", "value": "pro", "variant": "on"},
    ]})
}

fn snapshot(count: usize) -> Arc<Snapshot> {
    let base = json!({"key": "base", "default_value": true});
    let flags = (0..count).map(|number| typical(&format!("flag-{number}"))).chain([base]);
    let documents = flags.map(|flag| (DocumentKey::flag(flag["key"].as_str().unwrap()), flag.to_string().into()));
    World::new(None).load(WorldRevision { epoch: "bench".into(), number: 1 }, documents)
}

/// What is asked in an evaluation.
struct Asked {
    snapshot: Arc<Snapshot>,
    attributes: Map<String, Value>,
}

fn asked() -> Asked {
    let attributes = json!({"country": "DE", "plan": "free"}).as_object().unwrap().clone();
    Asked { snapshot: snapshot(100), attributes }
}

#[library_benchmark]
#[bench::one(args = (), setup = asked, config = at_most(ONE_FLAG))]
fn evaluate_one(asked: Asked) -> (bool, Asked) {
    let context = Context { user_id: "user-12345", attributes: &asked.attributes, now: Timestamp::UNIX_EPOCH };
    let flag = asked.snapshot.flag("flag-7").unwrap();
    let is_on = asked.snapshot.evaluator(black_box(context)).evaluate(flag).unwrap().is_truthy();
    (is_on, asked)
}

#[library_benchmark]
#[bench::hundred(args = (), setup = asked, config = at_most(HUNDRED_FLAGS))]
fn evaluate_hundred(asked: Asked) -> (usize, Asked) {
    let context = Context { user_id: "user-12345", attributes: &asked.attributes, now: Timestamp::UNIX_EPOCH };
    let all: Vec<_> = asked.snapshot.keys().map(|key| asked.snapshot.flag(key).unwrap()).collect();
    let (mut evaluator, mut truthy) = (asked.snapshot.evaluator(black_box(context)), 0);
    evaluator.evaluate_all(&all, |_, evaluation| truthy += usize::from(evaluation.unwrap().is_truthy()));
    (truthy, asked)
}

/// A gateway, and a request that it has read.
struct Asking {
    runtime: Runtime,
    gateway: Gateway,
    session: Session,
    answer: ResponseHeader,
    _client: DuplexStream,
    _publisher: Publisher,
    _writer: Writer,
}

/// A route with these flags besides its canary.
fn asking(canary: &str, flags: &str) -> Asking {
    let text = format!(
        "listeners = [{{ name = \"web\", address = \"127.0.0.1:1\" }}]\nstore.kind = \"memory\"\naccess_log.path = \"/dev/null\"\n\
         context.user_id = [{{ header = \"X-User-Id\" }}]\ncontext.accept_identity_from = \"anyone\"\n\
         context.attributes = {{ country = {{ header = \"X-User-Country\" }}, plan = {{ header = \"X-Plan\" }} }}\n\
         upstreams.stable.endpoints = [{{ address = \"127.0.0.1:2\" }}]\nupstreams.next.endpoints = [{{ address = \"127.0.0.1:3\" }}]\n\
         [[routes]]\nname = \"shop\"\nupstream = \"stable\"\n{canary}\nflags = [{flags}]\n"
    );
    let config = Arc::new(Config::parse("bench", &text, std::iter::empty()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entered = runtime.enter();
    let (cell, publisher) = SnapshotCell::new();
    assert!(publisher.publish(snapshot(10)));
    let (metrics, arms) = (Metrics::new(), Arms::new());
    let sources =
        Sources { metrics: metrics.clone(), arms: arms.clone(), profiles: None, runtime: runtime.handle().clone() };
    let (log, writer) =
        AccessLog::start(&config.access_log, Privacy::default(), metrics.access_log_dropped().clone()).unwrap();
    let parts = Parts {
        recent: Recent::new(&config.recent),
        routing: RoutingCell::new(Arc::clone(&config), sources),
        current: Current::new(Arc::clone(&config)),
        drain: Drain::new(metrics.requests_in_flight().clone()),
        config,
        cell,
        metrics,
        arms,
        access_log: log,
        observers: Observers::default(),
        tracer: None,
        profiles: None,
    };
    let gateway = Gateway::new(&parts, 0);
    let mut answer = ResponseHeader::build(200, None).unwrap();
    for (name, value) in
        [("Content-Type", "text/html"), ("Content-Length", "2"), ("Date", "Tue, 01 Dec 2026 00:00:00 GMT")]
    {
        answer.insert_header(name, value).unwrap();
    }
    drop(entered);
    // What the first request finds empty is filled by then.
    for _ in 0..3 {
        let (mut session, _client) = runtime.block_on(read());
        runtime.block_on(phases(&gateway, &mut session, answer.clone()));
    }
    let (session, client) = runtime.block_on(read());
    Asking { runtime, gateway, session, answer, _client: client, _publisher: publisher, _writer: writer }
}

/// A request as a browser sends it, read by pingora.
async fn read() -> (Session, DuplexStream) {
    let (mut client, server) = tokio::io::duplex(4096);
    let request = b"GET /shop/cart?item=17&page=2 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
        Accept: text/html,application/xhtml+xml\r\nAccept-Language: de,en;q=0.5\r\nAccept-Encoding: gzip, br\r\n\
        Cookie: session=0123456789abcdef; theme=dark\r\nX-User-Id: user-12345\r\nX-User-Country: DE\r\nX-Plan: free\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut session = Session::new_h1(Box::new(server));
    assert!(session.read_request().await.unwrap());
    (session, client)
}

/// All that pingora asks the gateway in the course of a request.
async fn phases(gateway: &Gateway, session: &mut Session, mut answer: ResponseHeader) {
    let mut exchange = gateway.new_ctx();
    assert!(!gateway.request_filter(session, &mut exchange).await.unwrap());
    let peer = gateway.upstream_peer(session, &mut exchange).await.unwrap();
    let mut request = session.req_header().clone();
    gateway.upstream_request_filter(session, &mut request, &mut exchange).await.unwrap();
    gateway.response_filter(session, &mut answer, &mut exchange).await.unwrap();
    gateway.logging(session, None, &mut exchange).await;
    black_box((peer, request, answer, exchange));
}

fn five_flags() -> Asking {
    asking("canary = { flag = \"flag-0\", upstream = \"next\" }", "\"flag-1\", \"flag-2\", \"flag-3\", \"flag-4\"")
}

fn no_flags() -> Asking {
    asking("", "")
}

#[library_benchmark]
#[bench::plain(args = (), setup = no_flags, config = at_most(PLAIN_REQUEST))]
#[bench::flags(args = (), setup = five_flags, config = at_most(FLAGS_REQUEST))]
fn request(mut asking: Asking) -> Asking {
    let answer = asking.answer.clone();
    asking.runtime.block_on(phases(&asking.gateway, &mut asking.session, answer));
    asking
}

// Instructions, as measured.
const ONE_FLAG: u64 = 2_777;
const HUNDRED_FLAGS: u64 = 491_464;
const PLAIN_REQUEST: u64 = 63_544;
const FLAGS_REQUEST: u64 = 85_924;

library_benchmark_group!(name = evaluation, benchmarks = [evaluate_one, evaluate_hundred]);
library_benchmark_group!(name = requests, benchmarks = [request]);

main!(library_benchmark_groups = [evaluation, requests]);
