//! What counting one request by arms costs.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use flaggate::{
    config::Config,
    model::{Context, DocumentKey, Users, WorldRevision},
    snapshot::World,
    telemetry::{Arms, CodeClass, Metrics, RouteArms},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let flags = ["canary", "theme"].map(|key| (DocumentKey::flag(key), json!({ "key": key }).to_string().into()));
    let snapshot = World::new(None).load(WorldRevision { epoch: "bench".into(), number: 1 }, flags);
    let attributes: Map<String, Value> = Map::new();
    let context = Context { user_id: "user-12345", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
    let mut evaluator = snapshot.evaluator(context);
    let given = ["canary", "theme"].map(|key| (key, evaluator.evaluate(snapshot.flag(key).unwrap()).unwrap()));
    criterion.bench_function("count one request in the metrics", |bench| {
        let time = Duration::from_micros(800);
        bench.iter(|| metrics.count(Some(0), Some(("canary", next)), CodeClass::Success, black_box(time)));
    });
    // One way of the route and two variations.
    criterion.bench_function("count one request by three arms", |bench| {
        bench.iter(|| {
            let user = Some(Users::place(Users::hash(black_box("user-12345"))));
            routes.cell(0, "canary", next).unwrap().count(black_box(800), false, user);
            for (key, evaluation) in &given {
                let cell = evaluation.arm(|| routes.variation(key, evaluation.variation()));
                cell.clone().count(black_box(800), false, user);
            }
        });
    });
    criterion.bench_function("take the counts of three arms", |bench| {
        let count = || routes.cell(0, "canary", next).unwrap().count(800, false, None);
        bench.iter(|| {
            count();
            arms.take()
        });
    });
}

criterion_group!(benches, count);
criterion_main!(benches);
