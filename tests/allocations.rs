//! Evaluation allocates nothing.

use flaggate::{
    model::{Context, DocumentKey, WorldRevision},
    snapshot::World,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
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
    evaluate("drawn");
    evaluate("flag"); // the regex engine takes its scratch space once for each thread
    let profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().total_blocks;
    evaluate("flag");
    evaluate("drawn");
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 0);
    drop(profiler);
}
