//! What evaluation and compilation cost.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use flaggate::{
    eval::Hash,
    model::{Change, Context, DocumentKey, WorldRevision},
    snapshot::World,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A flag with one prerequisite, two rules and a percentage.
fn typical(key: &str) -> Value {
    json!({"key": key, "name": key, "prerequisites": ["base"], "targeting_enabled": true, "rollout_enabled": true, "rollout_percentage": 50,
    "variants": {"on": true, "off": false}, "tags": ["checkout", "web"], "targeting_rules": [
        {"attribute": "country", "operator": "in", "value": ["US", "CA", "MX"], "return_value": true},
        {"attribute": "plan", "operator": "equals", "value": "pro", "variant": "on"},
    ]})
}

fn documents(count: usize) -> Vec<(DocumentKey, Arc<str>)> {
    let base = json!({"key": "base", "default_value": true});
    let flags = (0..count).map(|number| typical(&format!("flag-{number}"))).chain([base]);
    flags.map(|flag| (DocumentKey::flag(flag["key"].as_str().unwrap()), flag.to_string().into())).collect()
}

fn revision(number: u64) -> WorldRevision {
    WorldRevision { epoch: "bench".into(), number }
}

fn attributes() -> Map<String, Value> {
    json!({"country": "DE", "plan": "free"}).as_object().unwrap().clone()
}

fn evaluate(criterion: &mut Criterion) {
    let snapshot = World::new(None).load(revision(1), documents(100));
    let attributes = attributes();
    let context = Context { user_id: "user-12345", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
    let flag = snapshot.flag("flag-7").unwrap();
    criterion.bench_function("evaluate one flag", |bench| {
        bench.iter(|| snapshot.evaluator(black_box(context)).evaluate(flag).unwrap().is_truthy());
    });
    let all: Vec<_> = snapshot.keys().map(|key| snapshot.flag(key).unwrap()).collect();
    criterion.bench_function("evaluate 100 flags", |bench| {
        bench.iter(|| {
            let (mut evaluator, mut truthy) = (snapshot.evaluator(black_box(context)), 0);
            evaluator.evaluate_all(&all, |_, evaluation| truthy += usize::from(evaluation.unwrap().is_truthy()));
            truthy
        });
    });
    for (name, hash) in [("md5", Hash::Md5), ("murmur3", Hash::Murmur3), ("sha1", Hash::Sha1), ("fnv1a", Hash::Fnv1a)] {
        criterion.bench_function(&format!("bucket {name}"), |bench| {
            bench.iter(|| hash.bucket(black_box("flag-7"), black_box("user-12345")))
        });
    }
}

/// The slowest of 121 patterns that were written to take long, first searches on the longest texts that they are tried on.
fn patterns(criterion: &mut Criterion) {
    for (pattern, bytes) in [("(a|b|ab)*a(a|b){20}c", 1_260), ("\\w*a\\w{10}c", 1_365), ("[ab]*a[ab]{200}c", 161)] {
        // A number's bits are as good as random.
        let text: String =
            (0..bytes).map(|at: u32| if at.wrapping_mul(0x9e37_79b9) >> 20 & 1 == 0 { 'a' } else { 'b' }).collect();
        let attributes = json!({ "text": text }).as_object().unwrap().clone();
        let context = Context { user_id: "user-12345", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
        let rule = json!({"attribute": "text", "operator": "regex", "value": pattern, "return_value": true});
        let flag = json!({"key": "hostile", "targeting_enabled": true, "targeting_rules": [rule]});
        let documents = vec![(DocumentKey::flag("hostile"), Arc::from(flag.to_string()))];
        criterion.bench_function(&format!("a pattern that takes long: {pattern}"), |bench| {
            bench.iter_batched(
                || World::new(None).load(revision(1), documents.clone()),
                |snapshot| {
                    let flag = snapshot.flag("hostile").unwrap();
                    snapshot.evaluator(black_box(context)).evaluate(flag).unwrap().is_truthy()
                },
                BatchSize::SmallInput,
            );
        });
    }
}

/// What active kill switches cost an evaluation, and what activating them costs a world of 10 000 flags.
fn kills(criterion: &mut Criterion) {
    let mut world = World::new(None);
    let mut current = world.load(revision(1), documents(10_000));
    let attributes = attributes();
    let context = Context { user_id: "user-12345", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
    let change = |id: &str, features: &[String], state: Value| {
        let switch = json!({"id": id, "name": id, "affected_features": features, "status": state});
        Change { document: DocumentKey::kill_switch(id), text: Some(switch.to_string().into()) }
    };
    let one = ["flag-7".to_owned()];
    let all: Vec<String> = (0..10_000).map(|number| format!("flag-{number}")).collect();
    let recovery = json!({"step": 0, "percentage": 10, "since": "2026-01-01T00:00:00Z"});
    for (name, features, state) in [
        ("evaluate one flag, nothing is killed", &one[..], json!({"state": "inactive"})),
        ("evaluate one flag, it is killed", &one, json!({"state": "triggered"})),
        ("evaluate one flag, another is killed", &all[..1], json!({"state": "triggered"})),
        ("evaluate one flag, it recovers", &one, json!({"state": "recovering", "recovery": recovery})),
    ] {
        current = world.apply(revision(2), &[change("k", features, state)]);
        let flag = current.flag("flag-7").unwrap();
        criterion.bench_function(name, |bench| {
            bench.iter(|| current.evaluator(black_box(context)).evaluate(flag).unwrap().is_truthy());
        });
    }
    let mut is_on = false;
    for (name, features) in [("kill one flag of 10 000", &one[..]), ("kill 10 000 flags by key", &all)] {
        criterion.bench_function(name, |bench| {
            bench.iter(|| {
                is_on = !is_on;
                let state = if is_on { "triggered" } else { "inactive" };
                current = world.apply(revision(2), &[change("k", features, json!({"state": state}))]);
            });
        });
    }
}

/// Fifty segments: 35 of two rules each, ten composite, five that ask a model of 20 features.
fn memberships(criterion: &mut Criterion) {
    let columns: Vec<String> = (0..20).map(|number| format!("feature_{number}")).collect();
    let model = json!({"id": "churn", "kind": "logistic", "feature_columns": columns,
        "scaler": {"mean": vec![0.5; 20], "scale": vec![2.0; 20]}, "coefficients": vec![0.1; 20], "intercept": -0.3});
    let plain = (0..35).map(|number| {
        json!({"id": format!("plain-{number}"), "rules": [
            {"field": "lifetime_value", "operator": "greater_than", "value": number * 20},
            {"field": "country", "operator": "in", "value": ["DE", "FR", "IT"]}]})
    });
    let composite = (0..10).map(|number| {
        let expression = format!("(plain-{number} OR plain-{}) AND NOT plain-{}", number + 10, number + 20);
        json!({"id": format!("composite-{number}"), "type": "composite", "expression": expression})
    });
    let predicted = (0..5).map(|number| {
        json!({"id": format!("likely-{number}"), "type": "ml_based", "ml_model_id": "churn", "threshold": f64::from(number) / 5.0})
    });
    let segments = plain.chain(composite).chain(predicted);
    let documents =
        segments.map(|segment| (DocumentKey::segment(segment["id"].as_str().unwrap()), segment.to_string().into()));
    let documents = documents.chain([(DocumentKey::model("churn"), model.to_string().into())]);
    let snapshot = World::new(None).load(revision(1), documents);
    assert_eq!(snapshot.diagnostics().count(), 0);
    let mut attributes: Map<String, Value> =
        (0..20).map(|number| (format!("feature_{number}"), json!(number))).collect();
    attributes.extend([("lifetime_value".to_owned(), json!(300)), ("country".to_owned(), json!("DE"))]);
    let context = Context { user_id: "user-12345", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
    criterion.bench_function("memberships of 50 segments", |bench| {
        bench.iter(|| {
            let evaluator = snapshot.evaluator(black_box(context));
            snapshot.segments().filter(|(segment, _)| evaluator.is_member(*segment)).count()
        });
    });
}

fn compile(criterion: &mut Criterion) {
    let many = documents(10_000);
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    // Copying the input and giving the compiled world back are not part of compiling.
    group.bench_function("10 000 flags", |bench| {
        let compiled = |documents| {
            let mut world = World::new(None);
            let snapshot = world.load(revision(1), documents);
            (world, snapshot)
        };
        bench.iter_batched(|| many.clone(), compiled, BatchSize::LargeInput);
    });
    let mut world = World::new(None);
    let mut current = world.load(revision(1), many);
    let mut number = 1;
    group.bench_function("one change in 10 000", |bench| {
        bench.iter(|| {
            number += 1;
            let mut flag = typical("flag-77");
            flag["rollout_percentage"] = json!(number % 100);
            let change = Change { document: DocumentKey::flag("flag-77"), text: Some(flag.to_string().into()) };
            current = world.apply(revision(number), &[change]);
        });
    });
    group.bench_function("one flag more in 10 000, and one less", |bench| {
        bench.iter(|| {
            number += 1;
            let text = Some(typical("new").to_string().into());
            world.apply(revision(number), &[Change { document: DocumentKey::flag("new"), text }]);
            current = world.apply(revision(number), &[Change { document: DocumentKey::flag("new"), text: None }]);
        });
    });
    group.finish();
}

criterion_group!(benches, evaluate, patterns, kills, memberships, compile);
criterion_main!(benches);
