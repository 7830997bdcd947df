//! What kill switches do to a world.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::model::{Change, DocumentKey, Reason};

fn revision(number: u64) -> WorldRevision {
    WorldRevision { epoch: "test".into(), number }
}

fn key(document: &Value) -> DocumentKey {
    let name = |field: &str| document[field].as_str().unwrap();
    match (document.get("key"), document.get("rules"), document.get("expression")) {
        (Some(_), _, _) => DocumentKey::flag(name("key")),
        (None, None, None) => DocumentKey::kill_switch(name("id")),
        (None, _, _) => DocumentKey::segment(name("id")),
    }
}

fn put(document: &Value) -> Change {
    Change { document: key(document), text: Some(document.to_string().into()) }
}

fn loaded(world: &mut World, documents: &[Value]) -> Arc<Snapshot> {
    world.load(revision(1), documents.iter().map(|document| (key(document), document.to_string().into())))
}

fn on(key: &str) -> Value {
    json!({ "key": key, "name": key, "rollout_enabled": true, "rollout_percentage": 100 })
}

fn triggered(mut switch: Value) -> Value {
    switch["name"] = "x".into();
    switch["status"] =
        json!({ "state": "triggered", "since": "2026-01-01T00:00:00Z", "by": "ann", "reason": "broken" });
    switch
}

fn recovering(switch: Value, percentage: f64) -> Value {
    let mut switch = triggered(switch);
    switch["status"]["state"] = "recovering".into();
    switch["status"]["recovery"] = json!({ "step": 0, "percentage": percentage, "since": "2026-01-01T00:00:00Z" });
    switch
}

fn reason_for(snapshot: &Snapshot, flag: &str, user_id: &str, attributes: &Value) -> Reason {
    let attributes = attributes.as_object().unwrap();
    let context = Context { user_id, attributes, now: Timestamp::UNIX_EPOCH };
    snapshot.evaluator(context).evaluate(snapshot.flag(flag).unwrap()).unwrap().reason
}

fn reason(snapshot: &Snapshot, flag: &str) -> Reason {
    reason_for(snapshot, flag, "ann", &json!({}))
}

#[test]
fn a_killed_flag_gives_its_default_and_comes_back_as_it_was() {
    let mut world = World::new(None);
    let flag = json!({ "key": "a", "name": "a", "flag_type": "string", "default_value": "old", "off_variant": "off",
        "variants": { "on": "new", "off": "dark" }, "targets": { "on": ["ann"] }, "targeting_enabled": true, "rollout_enabled": true, "rollout_percentage": 100 });
    let before = loaded(&mut world, &[flag, on("b")]);
    let switch = json!({ "id": "k", "affected_features": ["a"] });
    let after = world.apply(revision(2), &[put(&triggered(switch.clone()))]);
    let attributes = Map::new();
    let context = Context { user_id: "ann", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
    let killed = after.evaluator(context).evaluate(after.flag("a").unwrap()).unwrap();
    assert_eq!((killed.value(), killed.reason, killed.detail), (&json!("old"), Reason::Killed, None));
    assert_eq!(reason(&after, "b"), Reason::Rollout, "nothing else is touched");
    assert!(Arc::ptr_eq(&before.flags, &after.flags), "no flag was compiled, none was copied");
    let told = after.explain(after.flag("a").unwrap(), context);
    let step = json!({ "step": "kill_switch", "id": "k", "scope": "feature", "state": "triggered", "killed": true,
        "since": "2026-01-01T00:00:00Z", "because": "broken" });
    assert_eq!((&told["reason"], &told["steps"]), (&json!("killed"), &json!([step])));
    let lifted = world.apply(revision(3), &[put(&switch)]);
    assert_eq!(reason(&lifted, "a"), Reason::TargetingMatch);
    assert!(lifted.kills.is_none(), "what kills nothing costs nothing");
}

#[test]
fn scopes() {
    let flags = [
        json!({ "key": "plain", "name": "x", "rollout_enabled": true, "rollout_percentage": 100 }),
        json!({ "key": "tagged", "name": "x", "tags": ["beta"], "rollout_enabled": true, "rollout_percentage": 100 }),
        json!({ "key": "vital", "name": "x", "tags": ["critical"], "rollout_enabled": true, "rollout_percentage": 100 }),
    ];
    let segment =
        json!({ "id": "vip", "name": "x", "rules": [{ "field": "plan", "operator": "equals", "value": "pro" }] });
    for (switch, region, expected) in [
        (json!({ "scope": "global" }), None, [true, true, true]),
        (json!({ "scope": "global", "exempt_critical": true }), None, [true, true, false]),
        (json!({ "scope": "global", "affected_features": ["plain"] }), None, [true, false, false]),
        (json!({ "scope": "region", "scope_value": "eu" }), Some("eu"), [true, true, true]),
        (json!({ "scope": "region", "scope_value": "eu" }), Some("us"), [false, false, false]),
        (json!({ "scope": "region", "scope_value": "eu" }), None, [false, false, false]),
        (
            json!({ "scope": "region", "scope_value": "eu", "affected_features": ["tag:beta"] }),
            Some("eu"),
            [false, true, false],
        ),
        (json!({ "scope": "service", "scope_value": "web" }), None, [false, false, false]),
        (
            json!({ "scope": "service", "scope_value": "web", "affected_features": ["plain"] }),
            None,
            [true, false, false],
        ),
        (json!({ "scope": "feature", "scope_value": "tagged" }), None, [false, true, false]),
        (json!({ "affected_features": ["tag:beta", "tag:critical", "absent"] }), None, [false, true, true]),
        (json!({ "affected_features": ["tag:beta", "vital"], "exempt_critical": true }), None, [false, true, false]),
        (json!({ "scope": "user_segment", "scope_value": "vip" }), None, [true, true, true]),
        (json!({ "scope": "user_segment", "scope_value": "nobody" }), None, [false, false, false]),
    ] {
        let mut world = World::new(None).in_region(region);
        let mut documents = flags.to_vec();
        documents.push(segment.clone());
        let mut with_id = switch.clone();
        with_id["id"] = "k".into();
        documents.push(triggered(with_id));
        let snapshot = loaded(&mut world, &documents);
        assert_eq!(snapshot.diagnostics().count(), 0);
        let killed = ["plain", "tagged", "vital"]
            .map(|flag| reason_for(&snapshot, flag, "ann", &json!({ "plan": "pro" })) == Reason::Killed);
        assert_eq!(killed, expected, "{switch} in {region:?}");
        let is_of_segment = switch["scope"] == "user_segment";
        let others = reason_for(&snapshot, "plain", "ann", &json!({ "plan": "free" })) == Reason::Killed;
        assert_eq!(others, expected[0] && !is_of_segment, "{switch}");
    }
}

#[test]
fn services_are_killed_for_whom_the_switch_is_about() {
    let mut world = World::new(None);
    let segment =
        json!({ "id": "vip", "name": "x", "rules": [{ "field": "plan", "operator": "equals", "value": "pro" }] });
    let of_all = triggered(json!({ "id": "a", "scope": "service", "scope_value": "web" }));
    let of_some =
        triggered(json!({ "id": "b", "scope": "user_segment", "scope_value": "vip", "affected_services": ["v2"] }));
    let snapshot = loaded(&mut world, &[segment, of_all, of_some]);
    for (plan, service, by) in
        [("pro", "v2", Some("b")), ("free", "v2", None), ("free", "web", Some("a")), ("pro", "other", None)]
    {
        let attributes = json!({ "plan": plan });
        let attributes = attributes.as_object().unwrap();
        let context = Context { user_id: "ann", attributes, now: Timestamp::UNIX_EPOCH };
        assert_eq!(snapshot.evaluator(context).killer_of(service), by, "{plan} {service}");
    }
}

#[test]
fn what_stands_on_a_killed_flag() {
    let mut world = World::new(None);
    let mut child = on("child");
    child["parent"] = "top".into();
    let grandchild = json!({ "key": "grandchild", "name": "x", "parent": "child" });
    let mut asks = on("asks");
    asks["prerequisites"] = json!(["top"]);
    let mut asks_not = on("asks-not");
    asks_not["prerequisites"] = json!([{ "key": "top", "negate": true }]);
    let mut top = on("top");
    // Even a default that is truthy meets nothing: the flag does not count as on.
    top["default_value"] = true.into();
    let switch = triggered(json!({ "id": "k", "affected_features": ["top"] }));
    let snapshot = loaded(&mut world, &[top, child, grandchild, asks, asks_not, switch]);
    let reasons = ["top", "child", "grandchild", "asks", "asks-not"].map(|flag| reason(&snapshot, flag));
    let expected =
        [Reason::Killed, Reason::ParentDisabled, Reason::ParentDisabled, Reason::PrerequisitesNotMet, Reason::Rollout];
    assert_eq!(reasons, expected);
}

#[test]
fn a_recovery_lets_the_same_users_through_and_only_ever_more() {
    let mut world = World::new(None);
    loaded(&mut world, &[on("a"), on("b")]);
    let switch = json!({ "id": "k", "affected_features": ["a", "b"] });
    let mut before: Vec<String> = Vec::new();
    for (number, percentage) in [(2, 10.0), (3, 25.0), (4, 50.0), (5, 100.0)] {
        let snapshot = world.apply(revision(number), &[put(&recovering(switch.clone(), percentage))]);
        let users = (0..2000).map(|user| format!("user-{user}"));
        let through: Vec<String> =
            users.filter(|user| reason_for(&snapshot, "a", user, &json!({})) == Reason::Rollout).collect();
        let share = through.len() as f64 / 20.0;
        assert!((share - percentage).abs() < 3.0, "{share} % instead of {percentage} %");
        assert!(before.iter().all(|user| through.contains(user)));
        assert!(through.iter().all(|user| reason_for(&snapshot, "b", user, &json!({})) == Reason::Rollout));
        let bucket = |user: &str| crate::eval::Hash::Md5.bucket("k", user);
        assert!(through.iter().all(|user| f64::from(bucket(user)) / 100.0 < percentage));
        let nobody = reason_for(&snapshot, "a", "", &json!({}));
        assert_eq!(nobody == Reason::Killed, percentage < 100.0, "who has no id waits for the end");
        before = through;
    }
}

#[test]
fn a_wrong_document_keeps_what_was_killed_killed() {
    let mut world = World::new(None);
    let good = triggered(json!({ "id": "k", "affected_features": ["a"] }));
    loaded(&mut world, &[on("a"), good]);
    for wrong in [
        json!({ "id": "k", "affected_features": "a" }),
        json!({ "id": "k", "scope": "planet" }),
        json!({ "id": "k", "affected_features": ["a"], "status": { "state": "sleeping" } }),
        json!({ "id": "other", "affected_features": ["a"] }),
        json!({ "id": "k" }),
    ] {
        let change = Change { document: DocumentKey::kill_switch("k"), text: Some(wrong.to_string().into()) };
        let snapshot = world.apply(revision(2), &[change]);
        assert_eq!(reason(&snapshot, "a"), Reason::Killed, "{wrong}");
        let told: Vec<_> = snapshot.diagnostics().map(|fault| (&*fault.document.key, fault.last_good_served)).collect();
        assert!(!told.is_empty() && told.iter().all(|fault| *fault == ("k", true)), "{wrong}: {told:?}");
    }
    let snapshot = world.apply(revision(3), &[put(&json!({ "id": "k", "affected_features": ["a"] }))]);
    assert_eq!((reason(&snapshot, "a"), snapshot.diagnostics().count()), (Reason::Rollout, 0));
}

#[test]
fn what_is_killed_follows_flags_tags_and_segments() {
    let mut world = World::new(None);
    loaded(&mut world, &[on("a"), triggered(json!({ "id": "k", "affected_features": ["late", "tag:beta"] }))]);
    let mut a = on("a");
    a["tags"] = json!(["beta"]);
    let snapshot = world.apply(revision(2), &[put(&a), put(&on("late"))]);
    assert_eq!(["a", "late"].map(|flag| reason(&snapshot, flag)), [Reason::Killed; 2]);
    let mut child = on("child");
    child["parent"] = "a".into();
    // It inherits the tag as well; the switch that is about itself comes first.
    let snapshot = world.apply(revision(3), &[put(&child), Change { document: DocumentKey::flag("late"), text: None }]);
    assert_eq!(reason(&snapshot, "child"), Reason::Killed);
    let snapshot = world.apply(revision(4), &[put(&on("a")), put(&on("in-the-place-of-late"))]);
    let reasons = ["a", "child", "in-the-place-of-late"].map(|flag| reason(&snapshot, flag));
    assert_eq!(reasons, [Reason::Rollout; 3]);
}

#[test]
fn what_is_refused_on_write() {
    let mut world = World::new(None);
    let segment = json!({ "id": "vip", "name": "x", "rules": [] });
    let snapshot = loaded(&mut world, &[on("checkout"), segment]);
    for (switch, pointer, message) in [
        (json!({ "id": "a b", "affected_features": ["checkout"] }), "/id", "1 to 128"),
        (json!({ "id": "k", "affected_features": ["chekout"] }), "/affected_features/0", "did you mean \"checkout\"?"),
        (json!({ "id": "k", "scope_value": "zzz" }), "/scope_value", "there is no flag"),
        (json!({ "id": "k", "scope": "user_segment", "scope_value": "vips" }), "/scope_value", "did you mean \"vip\"?"),
        (json!({ "id": "k", "scope": "global", "affected_segments": ["x"] }), "/affected_segments/0", "no segment"),
    ] {
        let mut switch = switch;
        switch["name"] = "x".into();
        let faults = snapshot.check_kill_switch(&KillSwitchDocument::parse(&switch.to_string()).unwrap());
        let told = faults.iter().any(|fault| fault.pointer == pointer && fault.message.contains(message));
        assert!(told && faults.len() == 1, "{switch}: {faults:?}");
    }
    let good = json!({ "id": "k", "name": "x", "affected_features": ["checkout", "tag:yet-to-come"] });
    assert_eq!(snapshot.check_kill_switch(&KillSwitchDocument::parse(&good.to_string()).unwrap()), []);
}

/// What every flag gives some users.
fn given(snapshot: &Snapshot) -> Vec<String> {
    let mut told = Vec::new();
    for (user, plan) in [("ann", "pro"), ("bob", "free"), ("user-7", "pro"), ("", "free")] {
        let attributes = json!({ "plan": plan });
        let attributes = attributes.as_object().unwrap();
        let context = Context { user_id: user, attributes, now: Timestamp::UNIX_EPOCH };
        for flag in snapshot.keys() {
            let found = snapshot.evaluator(context).evaluate(snapshot.flag(flag).unwrap());
            let found = found.map(|found| (found.value(), found.reason, found.detail));
            told.push(format!("{user} {flag} {found:?}"));
        }
    }
    told
}

fn flag(number: usize) -> impl Strategy<Value = Value> {
    let other = || prop::option::weighted(0.4, 0_usize..6);
    let shape = (any::<bool>(), 0_u32..=100, other(), other(), any::<bool>(), any::<bool>(), 0_u8..3);
    shape.prop_map(move |(enabled, percentage, parent, prerequisite, negate, targeting, tag)| {
        let mut flag = json!({ "key": format!("f{number}"), "name": "x", "enabled": enabled || percentage > 30,
            "default_value": negate, "rollout_enabled": true, "rollout_percentage": percentage });
        if let Some(parent) = parent.filter(|parent| *parent < number) {
            flag["parent"] = format!("f{parent}").into();
        }
        if let Some(prerequisite) = prerequisite {
            flag["prerequisites"] = json!([{ "key": format!("f{prerequisite}"), "negate": negate }]);
        }
        if targeting {
            flag["targeting_enabled"] = true.into();
            flag["targeting_rules"] = json!([{ "attribute": "plan", "operator": "equals", "value": "pro" }]);
        }
        if tag > 0 {
            flag["tags"] = json!([if tag == 1 { "beta" } else { "critical" }]);
        }
        flag
    })
}

fn switch(number: usize) -> impl Strategy<Value = Value> {
    let shape = (0_u8..4, prop::collection::vec(0_usize..6, 0..3), any::<bool>(), any::<bool>(), any::<bool>());
    shape.prop_map(move |(kind, flags, by_tag, spares, active)| {
        let mut features: Vec<String> = flags.iter().map(|flag| format!("f{flag}")).collect();
        if by_tag {
            features.push("tag:beta".to_owned());
        }
        let mut switch =
            json!({ "id": format!("k{number}"), "affected_features": features, "exempt_critical": spares });
        switch["scope"] = ["feature", "global", "region", "global"][usize::from(kind)].into();
        if kind == 2 {
            switch["scope_value"] = "eu".into();
        }
        if active { triggered(switch) } else { switch }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A world with switches gives what a world gives in which each killed flag is written to give its default and to count
    /// as off, whatever came first; without them it gives what it gave.
    #[test]
    fn killing_is_forcing_to_the_default(
        flags in (flag(0), flag(1), flag(2), flag(3), flag(4), flag(5)),
        switches in (switch(0), switch(1), switch(2)),
        region in prop::option::of(Just("eu")),
    ) {
        let flags = [flags.0, flags.1, flags.2, flags.3, flags.4, flags.5];
        let switches = [switches.0, switches.1, switches.2];
        let mut world = World::new(None).in_region(region);
        let before = loaded(&mut world, &flags);
        let changes: Vec<Change> = switches.iter().map(put).collect();
        let killed = world.apply(revision(2), &changes);
        // The model: a flag that an active switch is about is off, and its value when off is its default.
        let active = || killed.checked_kill_switches().filter(|of| of.status.is_active() && of.is_here(region));
        let is_killed = |flag: &Value| {
            let entry = killed.entry(killed.flag(flag["key"].as_str().unwrap()).unwrap()).unwrap();
            active().any(|switch| switch.selects(entry.compiled.key(), &entry.tags))
        };
        let forced: Vec<Value> = flags
            .iter()
            .map(|flag| match is_killed(flag) {
                true => {
                    let mut flag = flag.clone();
                    flag["enabled"] = false.into();
                    flag
                }
                false => flag.clone(),
            })
            .collect();
        let model = loaded(&mut World::new(None), &forced);
        // A flag on a cycle is off anyway; then the model cannot tell a killed one.
        let plain = |told: Vec<String>| -> Vec<String> {
            let told = told.into_iter().map(|line| line.replace("Killed, None", "FlagDisabled, None"));
            told.map(|line| line.replace("FlagDisabled, Some(Cycle)", "FlagDisabled, None")).collect()
        };
        prop_assert_eq!(plain(given(&killed)), plain(given(&model)));
        // In another order it is the same world.
        let mut other = World::new(None).in_region(region);
        let all: Vec<Value> = switches.iter().chain(&flags).cloned().collect();
        prop_assert_eq!(given(&loaded(&mut other, &all)), given(&killed));
        // Lifted, all is as it was.
        let gone: Vec<Change> = switches.iter().map(|switch| Change { document: key(switch), text: None }).collect();
        prop_assert_eq!(given(&world.apply(revision(3), &gone)), given(&before));
    }
}
