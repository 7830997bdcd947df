//! What documents can say so that the definitions of other systems carry over exactly.

use flaggate::model::FlagDocument;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::support::{evaluate, world};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn attributes(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

/// The variation that one flag gives.
fn variation(flag: &Value, user: &str, seen: &Value, now: Timestamp) -> String {
    evaluate(&world(std::slice::from_ref(flag)), "f", user, attributes(seen), now).unwrap().1
}

fn rule(rule: &Value) -> Value {
    json!({"key": "f", "name": "F", "targeting_enabled": true, "targeting_rules": [rule], "flag_type": "string", "default_value": "none",
        "variants": {"a": "A", "b": "B"}})
}

fn matches(condition: Value, seen: &Value, now: Timestamp) -> bool {
    let flag = rule(&json!({"conditions": {"all": [condition]}, "variant": "a"}));
    variation(&flag, "u", seen, now) == "a"
}

#[test]
fn an_unknown_condition_is_what_it_says_otherwise() {
    for (operator, value, seen) in [
        ("equals", json!("x"), json!({})),
        ("gte", json!(1), json!({"x": "many"})),
        ("in", json!(["a"]), json!({"x": null})),
    ] {
        for negate in [false, true] {
            let condition = |otherwise: Value| json!({"attribute": "x", "operator": operator, "value": value, "negate": negate, "otherwise": otherwise});
            assert!(!matches(condition(Value::Null), &seen, NOW), "{operator}");
            assert!(!matches(condition(json!(false)), &seen, NOW), "{operator}");
            assert!(matches(condition(json!(true)), &seen, NOW), "{operator}");
            assert!(matches(json!({"none": [condition(json!(false))]}), &seen, NOW), "{operator}");
            assert!(!matches(json!({"none": [condition(json!(true))]}), &seen, NOW), "{operator}");
        }
    }
    let known = json!({"attribute": "x", "operator": "equals", "value": 1, "otherwise": true});
    assert!(matches(known.clone(), &json!({"x": 1}), NOW) && !matches(known, &json!({"x": 2}), NOW));
}

#[test]
fn now_and_paths_are_attributes() {
    let after = json!({"attribute": "now", "operator": "after", "value": "2026-01-01T00:00:00Z"});
    assert!(!matches(after.clone(), &json!({"now": "2030-01-01T00:00:00Z"}), NOW), "it is the time of the request");
    assert!(matches(after, &json!({}), "2026-01-01T00:00:00.001Z".parse().unwrap()));
    let inner = json!({"attribute": "company.plans.1", "operator": "equals", "value": "pro"});
    assert!(matches(inner.clone(), &json!({"company": {"plans": ["free", "pro"]}}), NOW));
    assert!(
        matches(inner.clone(), &json!({"company.plans.1": "pro", "company": {"plans": []}}), NOW),
        "a whole name wins"
    );
    for seen in
        [json!({}), json!({"company": "x"}), json!({"company": {"plans": {}}}), json!({"company": {"plans": ["pro"]}})]
    {
        assert!(!matches(inner.clone(), &seen, NOW), "{seen}");
    }
}

#[test]
fn a_bucket_is_a_condition() {
    // GrowthBook's SDK specification, inNamespace: user 1 falls outside [0, 0.4) of namespace "namespace1", into [0.4, 1).
    let within = |from: f64, to: f64| json!({"bucket": {"hash": "fnv1a_v1", "salt": "__namespace1", "bucket_by": ["id"], "from": from, "to": to}});
    let seen = json!({"id": "1"});
    assert!(!matches(within(0.0, 40.0), &seen, NOW) && matches(within(40.0, 100.0), &seen, NOW));
    assert!(
        !matches(within(0.0, 100.0), &json!({}), NOW)
            && !matches(json!({"none": [within(0.0, 0.0)]}), &json!({"id": ""}), NOW)
    );
}

#[test]
fn the_first_of_several_is_drawn_for() {
    let by = |names: Value| {
        rule(&json!({"conditions": {"all": []}, "split": {"hash": "murmur3", "salt": "s", "bucket_by": names,
        "shares": [{"variant": "a", "weight": 1}, {"variant": "b", "weight": 1}]}}))
    };
    let at = |flag: &Value, user: &str, seen: Value| variation(flag, user, &seen, NOW);
    let (several, alone) = (by(json!(["session", "user_id"])), by(json!("user_id")));
    for user in 0..50 {
        let user = user.to_string();
        assert_eq!(at(&several, &user, json!({})), at(&alone, &user, json!({})));
        assert_eq!(at(&several, &user, json!({"session": ""})), at(&alone, &user, json!({})));
        assert_eq!(at(&several, "", json!({"session": user})), at(&alone, &user, json!({})));
    }
    assert_eq!(at(&several, "", json!({})), "none", "there is nobody to draw for");
    let random = by(json!(["session", "random"]));
    let drawn = |seconds: i64| variation(&random, "u", &json!({}), Timestamp::from_second(seconds).unwrap());
    let first = (0..1_000).filter(|second| drawn(*second) == "a").count();
    assert!((400..600).contains(&first), "{first}");
    assert_eq!(drawn(7), drawn(7), "one request draws once");
}

#[test]
fn shares_are_parts_of_their_sum() {
    let flag = rule(
        &json!({"conditions": {"all": []}, "percentage": 50, "salt": "p", "split": {"hash": "murmur3_flagd", "salt": "s",
        "shares": [{"variant": "a", "weight": 1}, {"weight": 1}, {"variant": "b", "weight": 2}]}}),
    );
    let mut counts = [0; 3];
    for user in 0..4_000 {
        let variation = variation(&flag, &format!("user-{user}"), &json!({}), NOW);
        counts[["a", "b", "none"].iter().position(|known| *known == variation).unwrap()] += 1;
    }
    for (count, expected) in counts.into_iter().zip([500, 1_000, 2_500]) {
        assert!(i32::abs(count - expected) < 120, "{counts:?}");
    }
}

#[test]
fn a_prerequisite_may_be_negated() {
    let base =
        |enabled: bool, value: bool| json!({"key": "base", "name": "B", "enabled": enabled, "default_value": value});
    let wants = |wanted: Value| {
        json!({"key": "f", "name": "F", "default_value": false, "prerequisites": [wanted], "targeting_enabled": true,
        "targeting_rules": [{"conditions": {"all": []}}]})
    };
    for (wanted, base, met) in [
        (json!({"key": "base", "negate": true}), base(true, true), false),
        (json!({"key": "base", "negate": true}), base(true, false), true),
        (json!({"key": "base", "negate": true}), base(false, true), true),
        (json!({"key": "base", "negate": false}), base(true, true), true),
        (json!({"key": "base", "variations": ["true"], "negate": true}), base(true, true), false),
        (json!({"key": "base", "value": 3, "negate": true}), base(true, true), true),
    ] {
        let found = evaluate(&world(&[base, wants(wanted.clone())]), "f", "u", &Map::new(), NOW).unwrap();
        assert_eq!(found.0, json!(met), "{wanted}");
    }
}

#[test]
fn wrong_draws_say_where() {
    let split = |split: Value| json!({"conditions": {"all": []}, "split": split});
    let condition = |condition: Value| json!({"conditions": {"all": [condition]}});
    for (wrong, pointer) in [
        (split(json!({})), "/split/shares"),
        (split(json!({"shares": []})), "/split/shares"),
        (split(json!({"shares": [{"variant": "a", "weight": 0}]})), "/split/shares"),
        (split(json!({"shares": [{"variant": "a", "weight": 2_147_483_648_u32}]})), "/split/shares"),
        (split(json!({"shares": [{"variant": "a", "weight": u64::MAX}, {"weight": u64::MAX}]})), "/split/shares"),
        (split(json!({"shares": [{"variant": "a", "weight": 0.5}]})), "/split/shares/0/weight"),
        (split(json!({"shares": [{"variant": "z", "weight": 1}]})), "/split/shares/0/variant"),
        (split(json!({"shares": [{"variant": "a", "weight": 1, "x": 1}]})), "/split/shares/0"),
        (split(json!({"shares": [{"variant": "a", "weight": 1}], "hash": "crc"})), "/split/hash"),
        (split(json!({"shares": [{"variant": "a", "weight": 1}], "salt": 1})), "/split/salt"),
        (split(json!({"shares": [{"variant": "a", "weight": 1}], "bucket_by": []})), "/split/bucket_by"),
        (split(json!({"shares": [{"variant": "a", "weight": 1}], "by": "x"})), "/split/by"),
        (json!({"conditions": {"all": []}, "hash": "crc"}), "/hash"),
        (json!({"conditions": {"all": []}, "bucket_by": [1]}), "/bucket_by"),
        (condition(json!({"bucket": 1})), "/conditions/all/0/bucket"),
        (condition(json!({"bucket": {}})), "/conditions/all/0/bucket/salt"),
        (condition(json!({"bucket": {"salt": "s", "from": 101}})), "/conditions/all/0/bucket/from"),
        (condition(json!({"bucket": {"salt": "s", "x": 1}})), "/conditions/all/0/bucket/x"),
        (
            condition(json!({"attribute": "a", "operator": "equals", "value": 1, "otherwise": 1})),
            "/conditions/all/0/otherwise",
        ),
    ] {
        let document = FlagDocument::parse(&rule(&wrong).to_string()).unwrap();
        let faults = world(&[]).check(&document);
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, [format!("/targeting_rules/0{pointer}")], "{wrong} {faults:?}");
    }
    let flag = json!({"key": "f", "name": "F", "prerequisites": [{"key": "f2", "negate": 1}]});
    assert!(!world(&[]).check(&FlagDocument::parse(&flag.to_string()).unwrap()).is_empty());
}
