//! Segments in a world: quarantine, cycles, and how flags ask for them.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{Change, DocumentKey, Profile, Reason, WithProfile};

/// A world whose documents are put one by one.
struct Worlds(World, u64);

impl Worlds {
    fn new() -> Self {
        Self(World::new(None), 0)
    }

    fn change(&mut self, document: DocumentKey, text: Option<String>) -> Arc<Snapshot> {
        self.1 += 1;
        let revision = WorldRevision { epoch: "test".into(), number: self.1 };
        self.0.apply(revision, &[Change { document, text: text.map(Into::into) }])
    }

    fn put(&mut self, segment: &Value) -> Arc<Snapshot> {
        self.change(DocumentKey::segment(segment["id"].as_str().unwrap()), Some(segment.to_string()))
    }

    fn put_flag(&mut self, flag: &Value) -> Arc<Snapshot> {
        self.change(DocumentKey::flag(flag["key"].as_str().unwrap()), Some(flag.to_string()))
    }
}

fn of(documents: &[Value]) -> Arc<Snapshot> {
    let documents = documents
        .iter()
        .map(|segment| (DocumentKey::segment(segment["id"].as_str().unwrap()), segment.to_string().into()));
    World::new(None).load(WorldRevision { epoch: "test".into(), number: 1 }, documents)
}

fn members<'s>(snapshot: &'s Snapshot, attributes: &Value) -> Vec<&'s str> {
    let attributes = attributes.as_object().unwrap();
    snapshot.memberships(Context { user_id: "ann", attributes, now: jiff::Timestamp::UNIX_EPOCH })
}

fn diagnostics(snapshot: &Snapshot) -> Vec<(String, String)> {
    snapshot.diagnostics().map(|found| (found.document.key.to_string(), found.fault.pointer.clone())).collect()
}

fn rule(field: &str, operator: &str, value: Value) -> Value {
    json!({ "field": field, "operator": operator, "value": value })
}

#[test]
fn segments_are_made_of_rules_scores_parents_exclusions_and_expressions() {
    let snapshot = of(&[
        json!({"id": "rich", "rules": [rule("value", "greater_than", json!(500))], "priority": 1}),
        json!({"id": "mobile", "rules": [rule("platform", "in", json!(["ios", "android"]))], "priority": 9}),
        json!({"id": "both", "type": "composite", "expression": "rich AND mobile"}),
        json!({"id": "one", "type": "composite", "expression": "(rich or mobile) AND NOT both"}),
        json!({"id": "child", "parent_segments": ["rich"], "exclusion_segments": ["mobile"]}),
        json!({"id": "likely", "min_score": 2, "rules": [
            {"field": "value", "operator": "gte", "value": 1, "weight": 1.5},
            {"field": "age", "operator": "gte", "value": 1, "weight": 0.5},
            {"field": "absent", "operator": "not_equals", "value": 1, "weight": 9},
        ]}),
        json!({"id": "between", "rules": [rule("value", "between", json!([600, 700]))]}),
        json!({"id": "null", "rules": [rule("gone", "not_equals", json!("x")), rule("gone", "equals", json!(null))]}),
    ]);
    assert_eq!(diagnostics(&snapshot), []);
    let rich = json!({ "value": 600, "gone": null });
    assert_eq!(members(&snapshot, &rich), ["rich", "between", "child", "null", "one"]);
    let both = json!({ "value": 700, "platform": "ios", "age": 3 });
    assert_eq!(members(&snapshot, &both), ["mobile", "rich", "between", "both", "likely"]);
}

#[test]
fn a_dynamic_segment_goes_by_what_the_user_is_doing() {
    let activity = |field: &str, operator: &str, value| rule(&format!("activity.{field}"), operator, value);
    let snapshot = of(&[
        json!({"id": "checkout_abandoners", "type": "dynamic"}),
        json!({"id": "readers", "type": "dynamic", "rules": [
            activity("current_page", "starts_with", json!("/docs")), rule("plan", "equals", json!("pro"))]}),
        json!({"id": "idle", "type": "dynamic", "rules": [activity("clicks", "exists", json!(false))]}),
        json!({"id": "nobody", "type": "dynamic"}),
    ]);
    assert_eq!(diagnostics(&snapshot), [("nobody".to_owned(), "/rules".to_owned())]);
    let seen = |activity: Option<Value>| {
        let activity = activity.map(|activity| activity.to_string());
        let profile = Profile::parse(Some(r#"{"plan": "pro"}"#), None, activity.as_deref());
        let attributes = WithProfile::new(&crate::model::NoAttributes, Some(&profile));
        let context = Context { user_id: "ann", attributes: &attributes, now: jiff::Timestamp::UNIX_EPOCH };
        snapshot.memberships(context).join(" ")
    };
    assert_eq!(seen(None), "");
    assert_eq!(seen(Some(json!({ "current_page": "/docs/a", "clicks": 1 }))), "readers");
    let waits = json!({ "current_page": "/checkout/pay", "page_duration_seconds": 301 });
    assert_eq!(seen(Some(waits)), "checkout_abandoners idle");
}

#[test]
fn a_broken_segment_keeps_its_last_good_version_and_else_has_no_members() {
    let mut worlds = Worlds::new();
    worlds.put(&json!({"id": "a", "rules": [rule("x", "equals", json!(1))]}));
    let broken = worlds.put(&json!({"id": "a", "type": "composite", "expression": "b AND"}));
    assert_eq!(members(&broken, &json!({ "x": 1 })), ["a"]);
    assert!(broken.diagnostics().all(|found| found.last_good_served && found.fault.pointer == "/expression"));
    let new = worlds.put(&json!({"id": "new", "type": "composite", "expression": "a)"}));
    assert_eq!(members(&new, &json!({ "x": 1 })), ["a"]);
    let unread = worlds.change(DocumentKey::segment("a"), Some("{".to_owned()));
    assert_eq!(members(&unread, &json!({ "x": 1 })), ["a"]);
    assert_eq!(worlds.0.last_good().map(|(document, _)| document.key.to_string()).collect::<Vec<_>>(), ["a"]);
    let unknown = worlds.put(&json!({"id": "new", "type": "composite", "expression": "NOT nowhere"}));
    assert_eq!(members(&unknown, &json!({})), [""; 0]);
    worlds.put(&json!({"id": "rule", "rules": [rule("x", "like", json!(1))]}));
    let gone = worlds.change(DocumentKey::segment("a"), None);
    assert_eq!(members(&gone, &json!({ "x": 1 })), [""; 0]);
    assert_eq!(
        diagnostics(&gone),
        [("new".to_owned(), "/expression".to_owned()), ("rule".to_owned(), "/rules/0/operator".to_owned())]
    );
    assert!(!gone.holds_nothing() && gone.is_empty());
}

#[test]
fn nobody_is_a_member_by_way_of_a_cycle() {
    let snapshot = of(&[
        json!({"id": "egg", "parent_segments": ["hen"]}),
        json!({"id": "hen", "parent_segments": ["egg"]}),
        json!({"id": "not_me", "exclusion_segments": ["not_me"]}),
        json!({"id": "left", "exclusion_segments": ["right"]}),
        json!({"id": "right", "exclusion_segments": ["left"], "rules": [rule("x", "equals", json!(1))]}),
        json!({"id": "bystander", "exclusion_segments": ["hen", "not_me"]}),
    ]);
    // Where `right` is out by its own rule, `left` follows; where it is not, nothing decides between the two.
    assert_eq!(members(&snapshot, &json!({})), ["bystander", "left"]);
    assert_eq!(members(&snapshot, &json!({ "x": 1 })), ["bystander"]);
    let messages: Vec<&str> = snapshot.diagnostics().map(|found| found.fault.message.as_str()).collect();
    assert_eq!(messages[0], "it stands on a cycle: egg → hen → egg; nobody is a member by way of that");
    assert_eq!(messages.len(), 5);
    let deep: Vec<Value> = (0..70_u32)
        .map(|number| {
            json!({"id": number.to_string(), "parent_segments": number.checked_sub(1).map(|n| n.to_string())
            .into_iter().collect::<Vec<_>>()})
        })
        .collect();
    assert_eq!(members(&of(&deep), &json!({})).len(), 65);
}

#[test]
fn what_cannot_be_written() {
    let snapshot = of(&[json!({"id": "a", "parent_segments": ["b"]}), json!({"id": "b"})]);
    for (segment, pointer, message) in [
        (json!({"id": "a b"}), "/id", "an id is 1 to 128"),
        (json!({"id": "b", "parent_segments": ["a"]}), "/parent_segments/0", "a cycle: b → a → b"),
        (json!({"id": "c", "exclusion_segments": ["c"]}), "/exclusion_segments/0", "a cycle: c → c"),
        (json!({"id": "c", "type": "composite", "expression": "a AND d"}), "/expression", "there is no segment \"d\""),
        (json!({"id": "c", "expression": "a"}), "/expression", "only a composite segment"),
        (json!({"id": "c", "type": "smart"}), "/type", "unknown type \"smart\""),
        (
            json!({"id": "c", "rules": [{"field": "segments", "operator": "in", "value": []}]}),
            "/rules/0/field",
            "a segment names others",
        ),
        (
            json!({"id": "c", "rules": [{"field": "x", "operator": "regex", "value": "("}]}),
            "/rules/0/value",
            "the pattern cannot",
        ),
        (json!({"id": "c", "rule": []}), "/rule", "unknown field \"rule\", did you mean \"rules\"?"),
    ] {
        let mut fields = segment.as_object().unwrap().clone();
        fields.insert("name".to_owned(), "N".into());
        let faults = snapshot.check_segment(&SegmentDocument::from_map(fields).unwrap());
        assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), [pointer], "{segment}");
        assert!(faults[0].message.starts_with(message), "{}", faults[0].message);
    }
    let waits = json!({"id": "c", "name": "N", "type": "ml_based", "ml_model_id": "later"});
    let waits = SegmentDocument::from_map(waits.as_object().unwrap().clone()).unwrap();
    assert_eq!(snapshot.check_segment(&waits), []);
}

#[test]
fn a_flag_asks_for_the_segments_that_are_said_and_those_that_are_decided() {
    let mut worlds = Worlds::new();
    let on = |snapshot: &Snapshot, key: &str, attributes: &Value| {
        let attributes = attributes.as_object().unwrap();
        let context = Context { user_id: "ann", attributes, now: jiff::Timestamp::UNIX_EPOCH };
        let evaluation = snapshot.evaluator(context).evaluate(snapshot.flag(key).unwrap()).unwrap();
        evaluation.reason == Reason::TargetingMatch
    };
    for (key, rule) in [
        ("any", json!({"segments": ["pro", "beta"]})),
        ("not", json!({"attribute": "segment", "operator": "not_in", "value": ["pro"]})),
        ("all", json!({"attribute": "user_segment", "operator": "all_of", "value": ["pro", "beta"]})),
        ("like", json!({"attribute": "segments", "operator": "starts_with", "value": "pr"})),
        ("some", json!({"attribute": "segment", "operator": "exists", "value": true})),
        ("deep", json!({"conditions": {"none": [{"segments": "pro"}]}})),
    ] {
        worlds.put_flag(&json!({"key": key, "targeting_enabled": true, "targeting_rules": [rule]}));
    }
    let snapshot = worlds.put_flag(&json!({"key": "last"}));
    let pro = json!({ "plan": "pro" });
    let all = |snapshot: &Snapshot, attributes: &Value| {
        ["any", "not", "all", "like", "some", "deep"].map(|key| on(snapshot, key, attributes))
    };
    assert_eq!(all(&snapshot, &pro), [false, true, false, false, false, true]);
    assert_eq!(diagnostics(&snapshot).len(), 3, "the names of `segments` that are none: {:?}", diagnostics(&snapshot));
    // It comes later, and the flags know it at once.
    let snapshot = worlds.put(&json!({"id": "pro", "rules": [rule("plan", "equals", json!("pro"))]}));
    assert_eq!(all(&snapshot, &pro), [true, false, false, true, true, false]);
    assert_eq!(all(&snapshot, &json!({})), [false, true, false, false, false, true]);
    let said = json!({ "plan": "pro", "segment": "beta", "segments": ["beta"], "user_segment": ["beta", "x"] });
    assert_eq!(all(&snapshot, &said), [true, false, true, true, true, false]);
    assert_eq!(snapshot.segment_dependents("pro").1.len(), 5);
    // It changes, and goes.
    let snapshot = worlds.put(&json!({"id": "pro", "rules": [rule("plan", "equals", json!("other"))]}));
    assert_eq!(all(&snapshot, &pro), [false, true, false, false, false, true]);
    worlds.put(&json!({"id": "pro"}));
    let snapshot = worlds.change(DocumentKey::segment("pro"), None);
    assert_eq!(all(&snapshot, &pro), [false, true, false, false, false, true]);
    let told = snapshot.explain(
        snapshot.flag("any").unwrap(),
        Context { user_id: "ann", attributes: said.as_object().unwrap(), now: jiff::Timestamp::UNIX_EPOCH },
    );
    assert_eq!(told["steps"][0]["condition"]["seen"], "beta");
}

/// Up to eight segments over three attributes that lead anywhere, cycles included.
fn worlds() -> impl Strategy<Value = Vec<Value>> {
    let name = || (0..8_u8).prop_map(|number| format!("s{number}"));
    let names = || prop::collection::vec(name(), 0..3);
    let expression = prop_oneof![
        Just(None),
        (name(), name(), name(), any::<bool>()).prop_map(|(a, b, c, and)| {
            Some(if and { format!("{a} AND ({b} OR NOT {c})") } else { format!("NOT {a} OR {b} AND NOT {c}") })
        }),
    ];
    let one = (prop::option::of((0..3_u8, 0..2_u8)), names(), names(), expression, 0..5_i64);
    prop::collection::vec(one, 1..8).prop_map(|segments| {
        let built =
            segments.into_iter().enumerate().map(|(number, (tested, parents, exclusions, expression, priority))| {
                let rules: Vec<Value> =
                    tested.iter().map(|(field, value)| rule(&format!("x{field}"), "equals", json!(value))).collect();
                let kind = if expression.is_some() { "composite" } else { "rule_based" };
                json!({"id": format!("s{number}"), "type": kind, "expression": expression, "rules": rules,
                "parent_segments": parents, "exclusion_segments": exclusions, "priority": priority})
            });
        built.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    /// Neither the order in which documents come, nor priorities, nor the way by which a world came to be decides who is a
    /// member.
    #[test]
    fn order_never_matters(segments in worlds(), order in any::<prop::sample::Index>(), bits in 0..8_u8, moved in 0..5_i64) {
        let attributes = json!({ "x0": bits & 1, "x1": bits >> 1 & 1, "x2": bits >> 2 });
        let seen = |snapshot: &Snapshot| {
            let mut members: Vec<String> = members(snapshot, &attributes).into_iter().map(str::to_owned).collect();
            members.sort_unstable();
            members
        };
        let whole = of(&segments);
        let expected = seen(&whole);
        let mut worlds = Worlds::new();
        let first = order.index(segments.len());
        let mut last = worlds.put(&segments[first]);
        for segment in segments[first..].iter().rev().chain(segments[..first].iter().rev()) {
            let mut segment = segment.clone();
            segment["priority"] = (segment["priority"].as_i64().unwrap() * moved).into();
            last = worlds.put(&segment);
        }
        prop_assert_eq!(seen(&last), expected);
        // One that goes and comes back leaves no trace.
        worlds.change(DocumentKey::segment(segments[first]["id"].as_str().unwrap()), None);
        prop_assert_eq!(seen(&worlds.put(&segments[first])), seen(&whole));
        let faults = |snapshot: &Snapshot| diagnostics(snapshot).into_iter().collect::<BTreeMap<_, _>>();
        prop_assert_eq!(faults(&last), faults(&whole));
    }
}
