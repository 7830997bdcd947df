//! Properties of evaluation that hold for every document and every user.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeMap, sync::Arc};

use flaggate::{
    eval::Hash,
    model::{Context, Detail, DocumentKey, FlagDocument, Reason, WorldRevision},
    snapshot::{Snapshot, World},
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn world(documents: &[Value]) -> Arc<Snapshot> {
    let texts = documents.iter().map(|document| {
        let key = document.get("key").and_then(Value::as_str).unwrap_or("broken");
        (DocumentKey::flag(key), document.to_string().into())
    });
    World::new(None).load(WorldRevision { epoch: "test".into(), number: 1 }, texts)
}

fn evaluate(
    snapshot: &Snapshot,
    key: &str,
    user_id: &str,
    attributes: &Value,
) -> (Value, String, Reason, Option<Detail>) {
    let empty = Map::new();
    let attributes = attributes.as_object().unwrap_or(&empty);
    let context = Context { user_id, attributes, now: Timestamp::UNIX_EPOCH };
    let found = snapshot.evaluator(context).evaluate(snapshot.flag(key).unwrap()).unwrap();
    (found.value().clone(), found.variation().to_owned(), found.reason, found.detail)
}

/// What one flag gives to one user.
fn value(flag: &Value, user_id: &str, attributes: &Value) -> Value {
    evaluate(&world(std::slice::from_ref(flag)), flag["key"].as_str().unwrap(), user_id, attributes).0
}

/// Whether another user id might have drawn another answer, for the last of some flags.
fn hangs_on_user_id(flags: &[Value], attributes: &Value) -> bool {
    let snapshot = world(flags);
    let context = Context { user_id: "", attributes: attributes.as_object().unwrap(), now: Timestamp::UNIX_EPOCH };
    let flag = snapshot.flag(flags.last().unwrap()["key"].as_str().unwrap()).unwrap();
    flaggate::eval::hangs_on_user_id(&*snapshot, flag, context)
}

#[test]
fn what_hangs_on_the_user_id() {
    let flag = |more: Value| {
        let mut flag = json!({"key": "f", "variants": {"a": "A", "b": "B"}});
        flag.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        flag
    };
    let rollout = |more: Value| {
        let mut flag = flag(more);
        flag["rollout_enabled"] = json!(true);
        flag
    };
    let rule = |more: Value| {
        let mut rule = json!({"attribute": "x", "operator": "equals", "value": 1});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        flag(json!({"targeting_enabled": true, "targeting_rules": [rule]}))
    };
    let split = |a: u64| json!([{"variant": "a", "weight": a}, {"variant": "b", "weight": 10_000 - a}]);
    let stage = |percentage: u64, start: &str| json!({"rollout_stages": [{"percentage": percentage, "value": "A", "start_time": start}]});
    for (flag, expected) in [
        (flag(json!({})), false),
        (rollout(json!({"rollout_percentage": 50})), true),
        (rollout(json!({"rollout_percentage": 0})), false),
        (rollout(json!({"rollout_percentage": 100})), false),
        (rollout(json!({"rollout_percentage": 50, "bucket_by": "x"})), false),
        (rollout(json!({"rollout_percentage": 50, "enabled": false})), false),
        (rollout(json!({"split": split(5_000)})), true),
        (rollout(json!({"split": split(10_000)})), false),
        (rollout(json!({"split": split(10_000), "rollout_percentage": 50})), true),
        (rollout(stage(50, "1969-01-01T00:00:00Z")), true),
        (rollout(stage(100, "1969-01-01T00:00:00Z")), false),
        (rollout(stage(50, "2069-01-01T00:00:00Z")), false),
        (rule(json!({"percentage": 50})), true),
        (rule(json!({"percentage": 100})), false),
        (rule(json!({"split": split(5_000)})), true),
        (rule(json!({"percentage": 50, "value": 2})), false),
        (rule(json!({"percentage": 50, "bucket_by": "x"})), false),
    ] {
        assert_eq!(hangs_on_user_id(std::slice::from_ref(&flag), &json!({"x": 1})), expected, "{flag}");
    }
    // A rule that decides comes before the rollout.
    let mut decided = rule(json!({"variant": "a"}));
    decided["rollout_enabled"] = json!(true);
    decided["rollout_percentage"] = json!(50);
    assert!(!hangs_on_user_id(std::slice::from_ref(&decided), &json!({"x": 1})));
    assert!(hangs_on_user_id(&[decided], &json!({"x": 2})));
    // What a prerequisite of a prerequisite draws counts too.
    let half = json!({"key": "half", "rollout_enabled": true, "rollout_percentage": 50});
    let middle = json!({"key": "middle", "prerequisites": ["half"]});
    assert!(hangs_on_user_id(&[half, middle, flag(json!({"prerequisites": ["middle"]}))], &json!({})));
}

#[test]
fn operators() {
    let matches = |operator: &str, wanted: Value, seen: Value, more: Value| {
        let mut rule = json!({"attribute": "x", "operator": operator, "value": wanted});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value(&json!({"key": "f", "targeting_enabled": true, "targeting_rules": [rule]}), "u", &json!({"x": seen}))
            == json!(true)
    };
    let yes = [
        ("gte", json!(18), json!(18)),
        ("gte", json!("18"), json!(" 18.0 ")),
        ("lte", json!(18), json!(17.5)),
        ("between", json!([1, 3]), json!(3)),
        ("starts_with", json!("ab"), json!("abc")),
        ("ends_with", json!("bc"), json!("abc")),
        ("exists", json!(true), json!(0)),
        ("semver_eq", json!("1.2"), json!("v1.2.0+build")),
        ("semver_gt", json!("1.2.3-rc.1"), json!("1.2.3")),
        ("semver_gte", json!("1.2.3"), json!("1.2.3")),
        ("semver_lt", json!("1.10.0"), json!("1.9.9")),
        ("semver_lte", json!("2"), json!("1.9.9")),
        ("before", json!("2026-01-01T00:00:00Z"), json!("2025-12-31T23:59:59")),
        ("after", json!("2026-01-01T00:00:00+01:00"), json!(1_767_225_600_000_i64)),
        ("in_cidr", json!("10.0.0.0/8"), json!("10.1.2.3")),
        ("in_cidr", json!(["192.0.2.0/24", "2001:db8::/32"]), json!("2001:db8::1")),
        ("in_cidr", json!("192.0.2.0/24"), json!("::ffff:192.0.2.9")),
        ("any_of", json!(["a", "b"]), json!(["b", "z"])),
        ("all_of", json!(["a", "b"]), json!(["b", "a", "z"])),
        ("contains", json!("a"), json!(["a"])),
        ("not_in", json!(["a"]), json!("b")),
        ("regex", json!("a+"), json!("aab")),
    ];
    for (operator, wanted, seen) in yes {
        assert!(matches(operator, wanted.clone(), seen.clone(), json!({})), "{operator} {wanted} {seen}");
        assert!(
            !matches(operator, wanted.clone(), seen.clone(), json!({"negate": true})),
            "not {operator} {wanted} {seen}"
        );
    }
    let no = [
        ("between", json!([1, 3]), json!(3.1)),
        ("exists", json!(false), json!(0)),
        ("semver_gt", json!("1.2.3"), json!("1.2.3-rc.1")),
        ("in_cidr", json!("10.0.0.0/8"), json!("11.0.0.1")),
        ("any_of", json!(["a"]), json!([])),
        ("all_of", json!(["a", "b"]), json!(["a"])),
        ("regex", json!("b"), json!("ab")),
    ];
    for (operator, wanted, seen) in no {
        assert!(!matches(operator, wanted.clone(), seen.clone(), json!({})), "{operator} {wanted} {seen}");
    }
    // What an operator cannot use matches neither way; an absent attribute neither.
    let inert = [
        ("gte", json!(1), json!("x")),
        ("gte", json!(1), json!(true)),
        ("semver_gt", json!("1.0.0"), json!("x")),
        ("in_cidr", json!("10.0.0.0/8"), json!(7)),
        ("gte", json!(1), Value::Null),
    ];
    for (operator, wanted, seen) in inert {
        for negate in [false, true] {
            assert!(
                !matches(operator, wanted.clone(), seen.clone(), json!({"negate": negate})),
                "{operator} {wanted} {seen}"
            );
        }
    }
    for (operator, wanted, seen) in [
        ("equals", json!("Straße"), json!("STRAßE")),
        ("in", json!(["DE"]), json!("de")),
        ("contains", json!("AB"), json!("xaby")),
        ("starts_with", json!("AB"), json!("aby")),
        ("ends_with", json!("BY"), json!("aby")),
        ("regex", json!("AB"), json!("aby")),
    ] {
        assert!(
            matches(operator, wanted.clone(), seen.clone(), json!({"ignore_case": true})),
            "{operator} {wanted} {seen}"
        );
        assert!(!matches(operator, wanted.clone(), seen.clone(), json!({})), "{operator} {wanted} {seen}");
    }
}

#[test]
fn groups_of_conditions() {
    let age = json!({"attribute": "age", "operator": "gte", "value": 18});
    let free = json!({"attribute": "plan", "operator": "equals", "value": "free"});
    let rule = json!({"conditions": {"all": [age, {"none": [free]}]}, "return_value": "in"});
    let flag = json!({"key": "f", "targeting_enabled": true, "targeting_rules": [rule], "default_value": "out"});
    for (attributes, expected) in [
        (json!({"age": 20, "plan": "pro"}), "in"),
        (json!({"age": 20, "plan": "free"}), "out"),
        (json!({"age": 10, "plan": "pro"}), "out"),
        (json!({"age": 20}), "out"), // "not free" is unknown without a plan
    ] {
        assert_eq!(value(&flag, "u", &attributes), expected, "{attributes}");
    }
}

#[test]
fn segments_are_a_set() {
    let flag = |rule: Value| json!({"key": "f", "targeting_enabled": true, "targeting_rules": [rule]});
    let attributes = json!({"segment": ["beta", "de"]});
    for (rule, expected) in [
        (json!({"segments": ["x", "de"]}), true),
        (json!({"segments": ["x"]}), false),
        (json!({"attribute": "segment", "operator": "in", "value": ["beta"]}), true),
        (json!({"attribute": "segment", "operator": "not_in", "value": ["beta"]}), false),
        (json!({"operator": "segment", "value": "beta"}), true),
        (json!({"segments": ["de"], "attribute": "user_id", "operator": "equals", "value": "other"}), false),
    ] {
        assert_eq!(value(&flag(rule.clone()), "u", &attributes), expected, "{rule}");
    }
    let absent = json!({"attribute": "segment", "operator": "not_in", "value": ["beta"]});
    assert_eq!(value(&flag(absent), "u", &json!({})), true, "a user in no segment is not in beta");
}

#[test]
fn targets_off_variants_and_wanted_variations() {
    let color = json!({"key": "color", "flag_type": "string", "default_value": "none", "variants": {"b": "blue", "g": "green"},
        "targeting_enabled": true, "targets": {"g": ["ann"]}, "off_variant": "b"});
    let wants = |wanted: Value| json!({"key": "f", "prerequisites": [wanted], "rollout_enabled": true, "rollout_percentage": 100});
    let mut off = color.clone();
    off["enabled"] = json!(false);
    assert_eq!(evaluate(&world(std::slice::from_ref(&color)), "color", "ann", &json!({})).1, "g");
    assert_eq!(value(&color, "bob", &json!({})), "none");
    assert_eq!(value(&off, "ann", &json!({})), "blue");
    for (wanted, user, reason) in [
        (json!({"key": "color", "variations": ["g"]}), "ann", Reason::Rollout),
        (json!({"key": "color", "variations": ["b"]}), "ann", Reason::PrerequisitesNotMet),
        (json!({"key": "color", "value": "green"}), "ann", Reason::Rollout),
        (json!({"key": "color", "value": "green"}), "bob", Reason::PrerequisitesNotMet),
        (json!({"key": "color"}), "bob", Reason::Rollout),
    ] {
        let snapshot = world(&[color.clone(), wants(wanted.clone())]);
        assert_eq!(evaluate(&snapshot, "f", user, &json!({})).2, reason, "{wanted} {user}");
    }
    // A flag that is off meets no prerequisite, whatever its off variant is.
    let snapshot = world(&[off, wants(json!({"key": "color", "value": "blue"}))]);
    assert_eq!(evaluate(&snapshot, "f", "ann", &json!({})).2, Reason::PrerequisitesNotMet);
}

#[test]
fn bucket_by_another_attribute() {
    let flag = json!({"key": "f", "bucket_by": "company", "rollout_enabled": true, "rollout_percentage": 50});
    let snapshot = world(std::slice::from_ref(&flag));
    let (one, other) = (
        evaluate(&snapshot, "f", "a", &json!({"company": "c"})),
        evaluate(&snapshot, "f", "b", &json!({"company": "c"})),
    );
    assert_eq!(one, other);
    let absent = evaluate(&snapshot, "f", "a", &json!({}));
    assert_eq!((absent.2, absent.3), (Reason::Default, Some(Detail::BucketAttributeAbsent)));
}

#[test]
fn a_split_follows_its_weights_exactly() {
    let flag = json!({"key": "f", "variants": {"a": 1, "b": 2, "c": 3}, "rollout_enabled": true,
        "split": [{"variant": "a", "weight": 1_000}, {"variant": "b", "weight": 0}, {"variant": "c", "weight": 9_000}]});
    let snapshot = world(std::slice::from_ref(&flag));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut expected = 0;
    for user in 0..10_000 {
        let user = format!("user-{user}");
        expected += usize::from(Hash::Md5.bucket("f", &user) < 1_000);
        *counts.entry(evaluate(&snapshot, "f", &user, &json!({})).1).or_default() += 1;
    }
    assert_eq!(counts, BTreeMap::from([("a".to_owned(), expected), ("c".to_owned(), 10_000 - expected)]));
}

#[test]
fn rules_draw_with_their_own_salt() {
    let flag = json!({"key": "f", "targeting_enabled": true,
        "targeting_rules": [{"attribute": "user_id", "operator": "exists", "value": true, "percentage": 30, "salt": "own"}]});
    let snapshot = world(std::slice::from_ref(&flag));
    for user in 0..1_000 {
        let user = format!("user-{user}");
        let expected = Hash::Md5.bucket("own", &user) < 3_000;
        assert_eq!(evaluate(&snapshot, "f", &user, &json!({})).0, expected, "{user}");
    }
}

/// Any JSON, with the names and shapes of a flag document in it often enough to reach deep.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![
            "[ -~]{0,8}",
            Just("regex".to_owned()),
            Just("2026-01-01T00:00:00".to_owned()),
            Just("((a+)+)+$".to_owned()),
            "\\PC{0,6}"
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(field(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn field() -> impl Strategy<Value = String> {
    let names = [
        "attribute",
        "operator",
        "value",
        "negate",
        "conditions",
        "all",
        "any",
        "none",
        "segments",
        "percentage",
        "split",
        "variant",
        "weight",
        "return_value",
        "start_time",
        "end_time",
        "key",
        "variations",
    ];
    prop_oneof![prop::sample::select(names.to_vec()).prop_map(str::to_owned), "[a-z]{1,6}"]
}

fn rule() -> impl Strategy<Value = Value> {
    let operators = [
        "equals",
        "contains",
        "in",
        "not_in",
        "greater_than",
        "regex",
        "between",
        "semver_gt",
        "before",
        "in_cidr",
        "any_of",
        "exists",
    ];
    (prop::sample::select(operators.to_vec()), json_value(), json_value()).prop_map(|(operator, value, more)| {
        let mut rule = json!({"attribute": "x", "operator": operator, "value": value});
        if let Value::Object(more) = more {
            rule.as_object_mut().unwrap().extend(more);
        }
        rule
    })
}

fn document(key: &'static str) -> impl Strategy<Value = Value> {
    let names = [
        "default_value",
        "enabled",
        "targeting_enabled",
        "targeting_rules",
        "rollout_enabled",
        "rollout_percentage",
        "rollout_stages",
        "prerequisites",
        "variants",
        "split",
        "bucket_by",
        "salt",
        "hash",
        "off_variant",
        "targets",
        "parent",
        "environments",
        "value_schema",
    ];
    let fields = prop::collection::btree_map(prop::sample::select(names.to_vec()), json_value(), 0..6);
    (fields, prop::collection::vec(rule(), 0..3), any::<bool>()).prop_map(move |(fields, rules, plausible)| {
        let mut document = json!({"key": key, "targeting_rules": rules, "targeting_enabled": true, "rollout_enabled": true, "parent": "b"});
        document.as_object_mut().unwrap().extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if plausible {
            document["enabled"] = json!(true);
            document["prerequisites"] = json!(["b", "a"]);
        }
        document
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Invariants 3 and 4: whatever the documents are, compiling and evaluating them gives a value, and a good flag beside
    /// them works.
    #[test]
    fn arbitrary_documents_never_panic(a in document("a"), b in document("b"), attribute in json_value(), user in "\\PC{0,20}") {
        let good = json!({"key": "good", "rollout_enabled": true, "rollout_percentage": 100});
        let snapshot = world(&[a.clone(), b.clone(), good]);
        let attributes = json!({"x": attribute});
        for key in ["a", "b"] {
            evaluate(&snapshot, key, &user, &attributes);
            let context = Context { user_id: &user, attributes: attributes.as_object().unwrap(), now: Timestamp::UNIX_EPOCH };
            prop_assert!(snapshot.explain(snapshot.flag(key).unwrap(), context).is_object());
        }
        for document in [a, b] {
            if let Value::Object(fields) = document && let Ok(document) = FlagDocument::from_map(fields) {
                drop(snapshot.check(&document));
            }
        }
        prop_assert_eq!(evaluate(&snapshot, "good", &user, &attributes).0, json!(true));
    }

    /// Many flags together give what each gives alone.
    #[test]
    fn together_as_alone(documents in prop::collection::vec(document("f"), 1..9), user in "\\PC{0,60}") {
        let keyed = documents.into_iter().enumerate().map(|(number, mut document)| {
            document["key"] = json!(format!("f{number}"));
            document
        });
        let snapshot = world(&keyed.collect::<Vec<_>>());
        let attributes = json!({"x": 1});
        let context = Context { user_id: &user, attributes: attributes.as_object().unwrap(), now: Timestamp::UNIX_EPOCH };
        let flags: Vec<_> = snapshot.keys().filter_map(|key| snapshot.flag(key)).collect();
        let seen = |evaluation: Option<flaggate::eval::Evaluation<'_>>| {
            let evaluation = evaluation.unwrap();
            (evaluation.value().clone(), evaluation.reason, evaluation.detail)
        };
        let mut together = Vec::new();
        snapshot.evaluator(context).evaluate_all(&flags, |flag, evaluation| together.push((flag, seen(evaluation))));
        let alone: Vec<_> = flags.iter().map(|flag| (*flag, seen(snapshot.evaluator(context).evaluate(*flag)))).collect();
        prop_assert_eq!(together, alone);
    }

    /// Invariant 3: text that is no document at all.
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let documents = [(DocumentKey::flag("a"), text.as_str().into())];
        let snapshot = World::new(Some("live")).load(WorldRevision { epoch: "test".into(), number: 1 }, documents);
        evaluate(&snapshot, "a", "u", &json!({}));
    }

    /// What may be written compiles without a quarantine.
    #[test]
    fn what_passes_the_check_compiles(a in document("a")) {
        let snapshot = world(&[json!({"key": "b"})]);
        let mut fields = a.as_object().unwrap().clone();
        fields.insert("name".to_owned(), json!("A"));
        if let Ok(document) = FlagDocument::from_map(fields) && snapshot.check(&document).is_empty() {
            let after = world(&[json!({"key": "b"}), Value::Object(document.fields().clone())]);
            prop_assert_eq!(after.diagnostics().collect::<Vec<_>>(), Vec::<&flaggate::model::Diagnostic>::new());
        }
    }

    /// Invariant 5: raising a percentage never moves a user out of a variation, with or without a split.
    #[test]
    fn raising_a_percentage_keeps_users(user in "\\PC{0,20}", low in 0.0..=100.0, high in 0.0..=100.0, cut in 0..=10_000, hash in prop::sample::select(vec!["md5", "murmur3", "sha1", "fnv1a"])) {
        let (low, high) = if low <= high { (low, high) } else { (high, low) };
        for split in [Value::Null, json!([{"variant": "a", "weight": cut}, {"variant": "b", "weight": 10_000 - cut}])] {
            let given = |percentage: f64| {
                let flag = json!({"key": "f", "default_value": "no", "variants": {"a": "A", "b": "B"}, "hash": hash, "rollout_enabled": true,
                    "rollout_percentage": percentage, "split": split});
                value(&flag, &user, &json!({}))
            };
            let (before, after) = (given(low), given(high));
            prop_assert!(before == "no" || before == after, "{} then {}", before, after);
        }
    }

    /// Invariant 5: what another flag gives does not depend on this one's buckets.
    #[test]
    fn the_same_user_gets_the_same_answer_always(user in "\\PC{0,20}", percentage in 0.0..=100.0) {
        let flag = json!({"key": "f", "rollout_enabled": true, "rollout_percentage": percentage});
        let alone = value(&flag, &user, &json!({}));
        let other = json!({"key": "g", "rollout_enabled": true, "rollout_percentage": 50});
        let beside = evaluate(&world(&[other, flag]), "f", &user, &json!({"x": 1})).0;
        prop_assert_eq!(alone, beside);
    }
}
