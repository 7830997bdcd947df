//! Evaluation and prediction allocate nothing, and what is remembered of users stays within its bound.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use flaggate::{
    config,
    model::{Attributes as _, Context, DocumentKey, ModelDocument, Reason, Users, WorldRevision},
    predict::Predictor,
    recent::Recent,
    snapshot::World,
    telemetry::{Arms, RouteArms},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// One test, as allocations are counted for the whole process: nothing else may go on in it.
#[test]
fn nothing_is_allocated() {
    evaluation_allocates_nothing();
    prediction_allocates_nothing();
    membership_allocates_nothing();
    a_context_beyond_the_allowance_allocates_nothing();
    what_is_remembered_takes_no_more_than_it_may();
    counting_allocates_nothing();
}

/// How many blocks `work` allocates.
fn allocated(work: impl Fn()) -> u64 {
    work(); // what is made once for each thread is made now
    let profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().total_blocks;
    work();
    let count = dhat::HeapStats::get().total_blocks - before;
    drop(profiler);
    count
}

fn evaluation_allocates_nothing() {
    let flags = [
        json!({"key": "base", "rollout_enabled": true, "rollout_percentage": 100}),
        json!({"key": "top", "enabled": true}),
        json!({"key": "flag", "parent": "top", "prerequisites": ["base"], "targeting_enabled": true, "rollout_enabled": true,
        "rollout_percentage": 50, "variants": {"a": "A", "b": "B"}, "split": [{"variant": "a", "weight": 5_000}, {"variant": "b", "weight": 5_000}],
        "targets": {"a": ["nobody"]}, "targeting_rules": [
            {"attribute": "country", "operator": "in", "value": ["US", "CA"], "ignore_case": true},
            {"attribute": "age", "operator": "contains", "value": "9"},
            {"attribute": "ratio", "operator": "regex", "value": "^9+"},
            {"attribute": "version", "operator": "semver_gt", "value": "9.0.0"},
            {"attribute": "address", "operator": "in_cidr", "value": "10.0.0.0/8"},
            {"attribute": "since", "operator": "before", "value": "2020-01-01T00:00:00Z"},
            {"conditions": {"all": [{"attribute": "age", "operator": "gte", "value": "90"}]}, "percentage": 5},
        ]}),
        json!({"key": "drawn", "prerequisites": [{"key": "base", "value": false, "negate": true}], "targeting_enabled": true,
        "variants": {"a": "A", "b": "B"}, "targeting_rules": [
            {"attribute": "company.plan", "operator": "equals", "value": "none", "otherwise": false},
            {"attribute": "now", "operator": "after", "value": "2030-01-01T00:00:00Z"},
            {"conditions": {"all": [{"bucket": {"hash": "fnv1a_v1", "salt": "__ns", "from": 99.9, "to": 100}}]}},
            {"attribute": "absent", "operator": "not_in", "value": ["x"], "otherwise": true, "percentage": 1, "hash": "murmur3",
             "bucket_by": ["session", "user_id", "random"]},
            {"conditions": {"all": []}, "split": {"hash": "murmur3", "salt": "s", "bucket_by": ["none", "random"],
             "shares": [{"variant": "a", "weight": 33}, {"weight": 1}, {"variant": "b", "weight": 66}]}},
        ]}),
    ];
    let documents =
        flags.iter().map(|flag| (DocumentKey::flag(flag["key"].as_str().unwrap()), flag.to_string().into()));
    let snapshot = World::new(None).load(WorldRevision { epoch: "test".into(), number: 1 }, documents);
    let attributes: Map<String, Value> =
        json!({"country": "DE", "age": 30, "ratio": 1.5, "version": "1.2.3", "address": "192.0.2.1",
        "since": "2024-01-01T00:00:00Z", "company": {"plan": "pro"}})
        .as_object()
        .unwrap()
        .clone();
    let context = Context { user_id: "user-12345", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
    let evaluate = |hash: &str| {
        for _ in 0..100 {
            let mut evaluator = snapshot.evaluator(context);
            let found = evaluator.evaluate(snapshot.flag(hash).unwrap()).unwrap();
            found.count();
        }
    };
    let count = allocated(|| {
        evaluate("drawn");
        evaluate("flag");
    });
    assert_eq!(count, 0);
    let switches = [
        json!({"id": "k1", "affected_features": ["flag", "top"], "status": {"state": "recovering",
            "recovery": {"step": 0, "percentage": 99.99, "since": "2026-01-01T00:00:00Z"}}}),
        json!({"id": "k2", "scope": "user_segment", "scope_value": "adults", "affected_features": ["tag:x", "drawn"],
            "affected_services": ["web"], "status": {"state": "triggered"}}),
        json!({"id": "k3", "scope": "global", "exempt_critical": true, "affected_features": ["base"], "status": {"state": "triggered"}}),
    ];
    let switches = switches
        .iter()
        .map(|switch| (DocumentKey::kill_switch(switch["id"].as_str().unwrap()), switch.to_string().into()));
    let segment = json!({"id": "adults", "rules": [{"field": "age", "operator": "gte", "value": 18}]});
    let segment = (DocumentKey::segment("adults"), segment.to_string().into());
    let flags = flags.iter().map(|flag| (DocumentKey::flag(flag["key"].as_str().unwrap()), flag.to_string().into()));
    let revision = WorldRevision { epoch: "test".into(), number: 1 };
    let snapshot = World::new(None).load(revision, flags.chain([segment]).chain(switches));
    let count = allocated(|| {
        let mut evaluator = snapshot.evaluator(context);
        let reason = |flag| evaluator.evaluate(snapshot.flag(flag).unwrap()).unwrap().reason;
        assert_eq!(["drawn", "flag"].map(reason), [Reason::Killed, Reason::PrerequisitesNotMet]);
        assert_eq!(snapshot.evaluator(context).killer_of("web"), Some("k2"));
    });
    assert_eq!(count, 0);
}

fn prediction_allocates_nothing() {
    let columns: Vec<String> = (0..32).map(|number| format!("feature_{number}")).collect();
    let model = |fields: Value| {
        let mut document = json!({"id": "model", "feature_columns": columns, "encodings": {"feature_7": {"DE": 1}},
            "scaler": {"mean": vec![0.5; 32], "scale": vec![2.0; 32]}});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Predictor::compile(&ModelDocument::parse(&document.to_string()).unwrap()).unwrap()
    };
    let models = [
        model(json!({"kind": "logistic", "coefficients": vec![0.1; 32], "intercept": 1})),
        model(json!({"kind": "kmeans", "centroids": [vec![0.1; 32], vec![1.0; 32]]})),
    ];
    let attributes: Map<String, Value> =
        json!({"feature_0": 1, "feature_1": "2.5", "feature_2": "no number", "feature_3": true, "feature_7": "DE"})
            .as_object()
            .unwrap()
            .clone();
    let count = allocated(|| {
        for model in &models {
            std::hint::black_box(model.predict(&|name| attributes.attribute(name)));
        }
    });
    assert_eq!(count, 0);
}

fn membership_allocates_nothing() {
    let plain = (0..200).map(|number| {
        let rules = json!([{"field": "age", "operator": "gte", "value": number}, {"field": "country", "operator": "in", "value": ["DE"]}]);
        json!({"id": format!("plain-{number}"), "rules": rules, "min_score": 1.5})
    });
    let composite = (0..50).map(|number| {
        let expression = format!("(plain-{number} OR plain-{}) AND NOT plain-{}", number + 50, number + 100);
        json!({"id": format!("composite-{number}"), "type": "composite", "expression": expression, "parent_segments": ["plain-1"],
            "exclusion_segments": ["and_around"]})
    });
    let cycle = [
        json!({"id": "around", "exclusion_segments": ["and_around"]}),
        json!({"id": "and_around", "exclusion_segments": ["around"], "rules": [{"field": "age", "operator": "lte", "value": 1}]}),
    ];
    let segments: Vec<Value> = plain.chain(composite).chain(cycle).collect();
    let documents = segments
        .iter()
        .map(|segment| (DocumentKey::segment(segment["id"].as_str().unwrap()), segment.to_string().into()));
    let flag = json!({"key": "flag", "targeting_enabled": true, "targeting_rules": [
        {"segments": ["composite-1", "plain-150"]}, {"attribute": "segment", "operator": "starts_with", "value": "composite"},
        {"attribute": "segment", "operator": "exists", "value": false}]});
    let documents = documents.chain([(DocumentKey::flag("flag"), flag.to_string().into())]);
    let snapshot = World::new(None).load(WorldRevision { epoch: "test".into(), number: 1 }, documents);
    let attributes: Map<String, Value> = json!({"country": "DE", "age": 30}).as_object().unwrap().clone();
    let context = Context { user_id: "user-12345", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
    let count = allocated(|| {
        let mut evaluator = snapshot.evaluator(context);
        std::hint::black_box(evaluator.evaluate(snapshot.flag("flag").unwrap()));
        let joined = snapshot.segments().filter(|(segment, _)| evaluator.is_member(*segment)).count();
        assert_eq!(joined, 31 + 31 + 1);
    });
    assert_eq!(count, 0);
}

fn a_context_beyond_the_allowance_allocates_nothing() {
    let recent = Recent::new(&config::Recent { per_second: 1, ..config::Recent::default() });
    let attributes = json!({ "plan": "pro" });
    recent.note("ann", Timestamp::UNIX_EPOCH, || &attributes);
    let note = || {
        for _ in 0..1_000 {
            recent.note("bob", Timestamp::UNIX_EPOCH, || attributes.clone());
            recent.note("", Timestamp::UNIX_EPOCH, || attributes.clone());
        }
    };
    assert_eq!(allocated(note), 0);
    assert_eq!(recent.remembered().passed_over, 2_000);
}

/// After an arm's first request.
fn counting_allocates_nothing() {
    let text = "listeners = [{ name = \"web\", address = \"127.0.0.1:1\" }]\nstore.kind = \"memory\"\n\
                upstreams.u.endpoints = [{ address = \"127.0.0.1:2\" }]\nroutes = [{ name = \"shop\", upstream = \"u\" }]\n";
    let config = config::Config::parse("test", text, std::iter::empty()).unwrap();
    let arms = Arms::new();
    let routes = RouteArms::new(&arms, &config);
    let documents = [(DocumentKey::flag("flag"), json!({ "key": "flag" }).to_string().into())];
    let snapshot = World::new(None).load(WorldRevision { epoch: "test".into(), number: 1 }, documents);
    let attributes: Map<String, Value> = Map::new();
    let context = Context { user_id: "user-12345", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
    let evaluation = snapshot.evaluator(context).evaluate(snapshot.flag("flag").unwrap()).unwrap();
    let count = || {
        for number in 0..1_000 {
            let user = Some(Users::place(Users::hash(context.user_id).wrapping_add(number)));
            routes.cell(0, "default", 0).unwrap().count(number, number % 2 == 0, user);
            let cell = evaluation.arm(|| routes.variation("flag", evaluation.variation()));
            std::sync::Arc::clone(cell).count(number, false, user);
        }
    };
    assert_eq!(allocated(count), 0);
    let taken = arms.take();
    assert_eq!(taken.iter().map(|(_, counts)| counts.requests).collect::<Vec<_>>(), [2_000, 2_000]);
}

/// Of the memory of recent contexts.
fn what_is_remembered_takes_no_more_than_it_may() {
    const MOST: usize = 2 << 20;
    for (contexts, length) in [(100_000, 20), (100_000, 500), (100_000, 5_000), (1_000, 20)] {
        let profiler = dhat::Profiler::builder().testing().build();
        let recent = Recent::new(&config::Recent { contexts, bytes: MOST, per_second: 1_000_000 });
        for number in 0..12_000 {
            let attributes = || json!({ "text": "x".repeat(length) });
            recent.note(&format!("user-{number}"), Timestamp::UNIX_EPOCH, attributes);
        }
        let taken = dhat::HeapStats::get().curr_bytes;
        let remembered = recent.remembered();
        assert!(taken <= MOST, "{contexts} contexts of {length} bytes take {taken} bytes");
        assert!(remembered.users.len() == contexts || remembered.bytes > MOST * 9 / 10, "{}", remembered.bytes);
        drop(profiler);
    }
}
