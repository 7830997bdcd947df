//! What counting one request costs.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use flaggate::{
    config::Config,
    model::{CodeClass, Context, DocumentKey, Users, WorldRevision},
    snapshot::World,
    telemetry::{Arms, Metrics, RouteArms},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FLAGS: [&str; 5] = ["canary", "theme", "search", "banner", "limit"];

fn config() -> Config {
    let text = "listeners = [{ name = \"web\", address = \"127.0.0.1:1\" }]\nstore.kind = \"memory\"\n\
                upstreams.stable.endpoints = [{ address = \"127.0.0.1:2\" }]\nupstreams.next.endpoints = [{ address = \"127.0.0.1:3\" }]\n\
                [[routes]]\nname = \"shop\"\nupstream = \"stable\"\ncanary = { flag = \"canary\", upstream = \"next\" }\n\
                flags = [\"theme\"]\n";
    Config::parse("bench", text, std::iter::empty()).unwrap()
}

fn count(criterion: &mut Criterion) {
    let (config, arms) = (config(), Arms::new());
    let next = config.upstreams.iter().position(|upstream| upstream.name == "next").unwrap();
    let routes = RouteArms::new(&arms, &config);
    let metrics = Metrics::new().for_config(&config);
    let flags = FLAGS.map(|key| (DocumentKey::flag(key), json!({ "key": key }).to_string().into()));
    let snapshot = World::new(None).load(WorldRevision { epoch: "bench".into(), number: 1 }, flags);
    let attributes: Map<String, Value> = Map::new();
    let context = Context { user_id: "user-12345", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
    let mut evaluator = snapshot.evaluator(context);
    let given = FLAGS.map(|key| (key, evaluator.evaluate(snapshot.flag(key).unwrap()).unwrap()));
    let time = Duration::from_micros(800);
    let mut users = (0..).map(|number: u64| Some(Users::place(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    let in_metrics = |time| {
        metrics.upstream_answered(next, time);
        metrics.count(Some(0), Some(("canary", next)), CodeClass::Success, time);
    };
    let by_arms = |time: Duration, user| {
        let micros = u64::try_from(time.as_micros()).unwrap();
        routes.cell(0, "canary", next).unwrap().count(micros, false, user);
        for (key, evaluation) in &given {
            evaluation.arm(|| routes.variation(key, evaluation.variation())).count(micros, false, user);
        }
    };
    let by_variation = || given.iter().for_each(|(_, evaluation)| evaluation.count_request(CodeClass::Success));
    criterion.bench_function("count one request in the metrics", |bench| bench.iter(|| in_metrics(black_box(time))));
    // One way of the route and five variations.
    criterion.bench_function("count one request by six arms", |bench| {
        bench.iter(|| by_arms(black_box(time), users.next().unwrap()));
    });
    criterion.bench_function("count one request by five variations", |bench| bench.iter(by_variation));
    criterion.bench_function("count one request of five flags", |bench| {
        bench.iter(|| {
            in_metrics(black_box(time));
            by_arms(black_box(time), users.next().unwrap());
            by_variation();
        });
    });
    criterion.bench_function("take the counts of six arms", |bench| {
        bench.iter(|| {
            by_arms(time, None);
            arms.take()
        });
    });
}

criterion_group!(benches, count);
criterion_main!(benches);
