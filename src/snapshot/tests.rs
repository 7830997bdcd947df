//! The world: what one change touches, quarantine, inheritance, cycles.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    eval::Evaluation,
    model::{Action, Change, Detail, DocumentKey, NoAttributes, Reason},
};

struct Worlds {
    world: World,
    number: u64,
}

impl Worlds {
    fn new(environment: Option<&str>) -> Self {
        Self { world: World::new(environment), number: 0 }
    }

    fn revision(&mut self) -> WorldRevision {
        self.number += 1;
        WorldRevision { epoch: "test".into(), number: self.number }
    }

    fn put(&mut self, documents: &[Value]) -> Arc<Snapshot> {
        let change = |document: &Value| change(document["key"].as_str().unwrap(), &document.to_string());
        let changes: Vec<Change> = documents.iter().map(change).collect();
        let revision = self.revision();
        self.world.apply(revision, &changes)
    }

    fn put_text(&mut self, key: &str, text: &str) -> Arc<Snapshot> {
        let revision = self.revision();
        self.world.apply(revision, &[change(key, text)])
    }

    fn remove(&mut self, key: &str) -> Arc<Snapshot> {
        let revision = self.revision();
        self.world.apply(revision, &[Change { document: DocumentKey::flag(key), text: None }])
    }
}

fn change(key: &str, text: &str) -> Change {
    Change { document: DocumentKey::flag(key), text: Some(text.into()) }
}

fn context() -> Context<'static> {
    Context { user_id: "user-1", attributes: &NoAttributes, now: jiff::Timestamp::UNIX_EPOCH }
}

fn seen(snapshot: &Snapshot, key: &str) -> (Value, Reason, Option<Detail>) {
    let mut evaluator = snapshot.evaluator(context());
    let Evaluation { outcome, reason, detail, .. } = evaluator.evaluate(snapshot.flag(key).unwrap()).unwrap();
    (outcome.value.clone(), reason, detail)
}

fn reason(snapshot: &Snapshot, key: &str) -> Reason {
    seen(snapshot, key).1
}

fn on(key: &str) -> Value {
    json!({"key": key, "rollout_enabled": true, "rollout_percentage": 100})
}

fn requires(key: &str, prerequisites: &[&str]) -> Value {
    json!({"key": key, "rollout_enabled": true, "rollout_percentage": 100, "prerequisites": prerequisites})
}

#[test]
fn a_change_compiles_what_it_touches_and_nothing_else() {
    let mut worlds = Worlds::new(None);
    let before = worlds.put(&[on("a"), on("b"), requires("c", &["a"])]);
    let after = worlds.put(&[json!({"key": "a", "enabled": false})]);
    let same = |key: &str| {
        let index = after.flag(key).unwrap();
        std::ptr::eq(before.get(index).unwrap(), after.get(index).unwrap())
    };
    assert_eq!((same("a"), same("b"), same("c")), (false, true, true));
    assert_eq!((reason(&before, "a"), reason(&after, "a")), (Reason::Rollout, Reason::FlagDisabled));
    assert_eq!((reason(&before, "c"), reason(&after, "c")), (Reason::Rollout, Reason::PrerequisitesNotMet));
    assert_eq!(after.revision().unwrap().number, 2);
}

#[test]
fn a_broken_document_keeps_its_last_good_version_else_is_off() {
    let mut worlds = Worlds::new(None);
    for text in [
        "",
        "[]",
        "{",
        r#"{"key": "other"}"#,
        r#"{"key": "a", "enabled": "yes"}"#,
        r#"{"key": "a", "targeting_rules": {}}"#,
    ] {
        worlds.put(&[on("a"), on("b")]);
        let snapshot = worlds.put_text("a", text);
        assert_eq!(reason(&snapshot, "a"), Reason::Rollout, "{text}");
        let diagnostic = snapshot.diagnostics().next().unwrap();
        assert!(diagnostic.last_good_served && &*diagnostic.document.key == "a", "{diagnostic:?}");
        worlds.remove("a");
        let snapshot = worlds.put_text("a", text);
        assert_eq!(seen(&snapshot, "a"), (json!(false), Reason::FlagDisabled, Some(Detail::Quarantined)), "{text}");
        assert!(!snapshot.diagnostics().next().unwrap().last_good_served);
        assert_eq!(reason(&snapshot, "b"), Reason::Rollout);
        let snapshot = worlds.put(&[on("a")]);
        assert_eq!((reason(&snapshot, "a"), snapshot.diagnostics().count()), (Reason::Rollout, 0));
    }
}

#[test]
fn the_backup_holds_the_last_good_texts() {
    let mut worlds = Worlds::new(None);
    worlds.put(&[on("a")]);
    worlds.put_text("a", "{");
    worlds.put_text("b", "{");
    let good: Vec<String> = worlds.world.last_good().map(|(_, text)| text.to_string()).collect();
    assert_eq!(good, [on("a").to_string()]);
}

#[test]
fn an_inert_rule_does_not_stop_the_flag() {
    let mut worlds = Worlds::new(None);
    let snapshot = worlds.put(&[json!({"key": "a", "targeting_enabled": true, "targeting_rules": [
        {"attribute": "user_id", "operator": "equalz", "value": 1},
        {"attribute": "user_id", "operator": "equals", "value": "user-1", "return_value": "yes"},
    ]})]);
    assert_eq!(seen(&snapshot, "a").0, "yes");
    let fault = &snapshot.diagnostics().next().unwrap().fault;
    assert_eq!(
        (fault.pointer.as_str(), fault.message.as_str()),
        ("/targeting_rules/0/operator", "unknown operator \"equalz\", did you mean \"equals\"?")
    );
}

#[test]
fn load_forgets_what_is_not_named_and_reuses_the_rest() {
    let mut worlds = Worlds::new(None);
    let before = worlds.put(&[on("a"), on("b")]);
    let revision = worlds.revision();
    let documents =
        [(DocumentKey::flag("b"), on("b").to_string().into()), (DocumentKey::flag("c"), on("c").to_string().into())];
    let after = worlds.world.load(revision, documents);
    assert_eq!(after.keys().collect::<Vec<_>>(), ["b", "c"]);
    assert!(std::ptr::eq(before.get(before.flag("b").unwrap()).unwrap(), after.get(after.flag("b").unwrap()).unwrap()));
    // A snapshot that a request still holds goes on as it was.
    assert_eq!((before.len(), reason(&before, "a")), (2, Reason::Rollout));
}

#[test]
fn prerequisites_may_come_and_go() {
    let mut worlds = Worlds::new(None);
    let snapshot = worlds.put(&[requires("c", &["a"])]);
    assert_eq!(reason(&snapshot, "c"), Reason::PrerequisitesNotMet);
    assert_eq!(snapshot.diagnostics().next().unwrap().fault.pointer, "/prerequisites/0");
    let snapshot = worlds.put(&[on("a")]);
    assert_eq!((reason(&snapshot, "c"), snapshot.diagnostics().count()), (Reason::Rollout, 0));
    let snapshot = worlds.remove("a");
    assert_eq!(reason(&snapshot, "c"), Reason::PrerequisitesNotMet);
    // Another flag takes the free place; "c" must not take it for "a".
    let snapshot = worlds.put(&[on("z")]);
    assert_eq!(reason(&snapshot, "c"), Reason::PrerequisitesNotMet);
}

#[test]
fn children_inherit_through_changes_and_an_off_ancestor_turns_them_off() {
    let mut worlds = Worlds::new(None);
    let child = json!({"key": "child", "parent": "top"});
    let grandchild = json!({"key": "a-grandchild", "parent": "child"});
    let snapshot = worlds.put(&[grandchild, child, on("top")]);
    assert_eq!(reason(&snapshot, "a-grandchild"), Reason::Rollout);
    let snapshot = worlds.put(&[json!({"key": "top", "default_value": "new"})]);
    assert_eq!(seen(&snapshot, "a-grandchild"), (json!("new"), Reason::Default, None));
    let snapshot = worlds.put(&[json!({"key": "top", "enabled": false})]);
    assert_eq!(
        (reason(&snapshot, "top"), reason(&snapshot, "a-grandchild")),
        (Reason::FlagDisabled, Reason::ParentDisabled)
    );
    let snapshot = worlds.remove("top");
    assert_eq!(reason(&snapshot, "child"), Reason::ParentDisabled);
    assert_eq!(snapshot.diagnostics().next().unwrap().fault.pointer, "/parent");
}

#[test]
fn environments_override() {
    let flag = json!({"key": "a", "default_value": "x", "environments": {"live": {"default_value": "y"}}});
    for (environment, value) in [(None, "x"), (Some("live"), "y"), (Some("test"), "x")] {
        assert_eq!(seen(&Worlds::new(environment).put(std::slice::from_ref(&flag)), "a").0, value);
    }
}

#[test]
fn flags_on_a_cycle_are_off_and_come_back() {
    let mut worlds = Worlds::new(None);
    let snapshot = worlds.put(&[
        requires("a", &["b"]),
        requires("b", &["c"]),
        requires("c", &["a"]),
        requires("d", &["a"]),
        on("e"),
    ]);
    for key in ["a", "b", "c"] {
        assert_eq!(
            (seen(&snapshot, key).1, seen(&snapshot, key).2),
            (Reason::FlagDisabled, Some(Detail::Cycle)),
            "{key}"
        );
    }
    assert_eq!((reason(&snapshot, "d"), reason(&snapshot, "e")), (Reason::PrerequisitesNotMet, Reason::Rollout));
    let message = &snapshot.diagnostics().next().unwrap().fault.message;
    assert!(message.ends_with("a → b → c → a"), "{message}");
    let snapshot = worlds.put(&[on("c")]);
    for key in ["a", "b", "c", "d", "e"] {
        assert_eq!(reason(&snapshot, key), Reason::Rollout, "{key}");
    }
    assert_eq!(snapshot.diagnostics().count(), 0);
    worlds.put(&[requires("c", &["a"])]);
    let snapshot = worlds.remove("b");
    assert_eq!((seen(&snapshot, "c").2, reason(&snapshot, "c")), (None, Reason::PrerequisitesNotMet));
}

#[test]
fn a_parent_and_a_prerequisite_can_make_a_cycle_together() {
    let snapshot = Worlds::new(None).put(&[json!({"key": "a", "parent": "b"}), requires("b", &["a"])]);
    assert_eq!((seen(&snapshot, "a").2, seen(&snapshot, "b").2), (Some(Detail::Cycle), Some(Detail::Cycle)));
}

#[test]
fn long_chains_are_off_beyond_the_limit() {
    let key = |number: usize| format!("f{number:03}");
    let chain: Vec<Value> = (0..200)
        .map(|number| match number {
            0 => on(&key(0)),
            _ => requires(&key(number), &[&key(number - 1)]),
        })
        .collect();
    let snapshot = Worlds::new(None).put(&chain);
    assert_eq!(reason(&snapshot, &key(graph::MAX_CHAIN)), Reason::Rollout);
    assert_eq!(seen(&snapshot, &key(graph::MAX_CHAIN + 1)).2, Some(Detail::Cycle));
}

#[test]
fn counts_go_on_when_a_flag_changes_and_end_when_it_is_removed() {
    let mut worlds = Worlds::new(None);
    let count = |snapshot: &Snapshot| {
        snapshot.evaluator(context()).evaluate(snapshot.flag("a").unwrap()).unwrap().count();
    };
    let tallies = |snapshot: &Snapshot| -> Vec<(String, u64)> {
        snapshot.tallies().map(|(_, variation, tally)| (variation.to_owned(), tally.get(Reason::Rollout))).collect()
    };
    let first = worlds.put(&[on("a")]);
    count(&first);
    let second =
        worlds.put(&[json!({"key": "a", "rollout_enabled": true, "rollout_percentage": 100, "variants": {"x": "X"}})]);
    count(&second);
    count(&first); // a request that still holds the snapshot before
    assert_eq!(tallies(&second), [("false".to_owned(), 0), ("x".to_owned(), 1), ("true".to_owned(), 2)]);
    worlds.remove("a");
    assert_eq!(tallies(&worlds.put(&[on("a")])), [("false".to_owned(), 0), ("true".to_owned(), 0)]);
}

#[test]
fn what_may_not_be_written() {
    let mut worlds = Worlds::new(None);
    let snapshot = worlds.put(&[json!({"key": "a", "prerequisites": ["b"]}), on("b"), on("c")]);
    let check = |document: Value| -> Vec<(String, String)> {
        let mut fields = json!({"name": "N"}).as_object().unwrap().clone();
        fields.extend(document.as_object().unwrap().clone());
        let faults = snapshot.check(&FlagDocument::from_map(fields).unwrap());
        faults.into_iter().map(|fault| (fault.pointer, fault.message)).collect()
    };
    for (document, pointer, message) in [
        (json!({"key": "a/b"}), "/key", "a key is 1 to 128"),
        (json!({"key": "b", "prerequisites": ["a"]}), "/prerequisites/0", "a cycle: b → a → b"),
        (json!({"key": "b", "parent": "a"}), "/parent", "a cycle: b → a → b"),
        (json!({"key": "n", "prerequisites": ["n"]}), "/prerequisites/0", "the flag refers to itself: n → n"),
        (json!({"key": "n", "prerequisites": ["c", {"key": "x"}]}), "/prerequisites/1", "there is no flag \"x\""),
        (json!({"key": "n", "parent": "x"}), "/parent", "there is no flag \"x\""),
        (json!({"key": "n", "colour": 1}), "/colour", "unknown field \"colour\""),
        (
            json!({"key": "n", "rollout_percentage": 101}),
            "/rollout_percentage",
            "expected a number from 0 to 100, found 101",
        ),
        (
            json!({"key": "n", "targeting_rules": [{"attribute": "x", "operator": "regex", "value": "("}]}),
            "/targeting_rules/0/value",
            "the pattern cannot be used",
        ),
        (
            json!({"key": "n", "targeting_rules": [{"attribute": "x", "operator": "in", "value": [], "variant": "v"}]}),
            "/targeting_rules/0/variant",
            "unknown variant \"v\"",
        ),
        (
            json!({"key": "n", "environments": {"live": {"rollout_percentage": -1}}}),
            "/environments/live/rollout_percentage",
            "expected a number from 0 to 100, found -1",
        ),
        (
            json!({"key": "n", "environments": {"live": {"key": "x"}}}),
            "/environments/live/key",
            "an environment cannot override this field",
        ),
        (
            json!({"key": "n", "environments": {"live": {"prerequisites": ["x"]}}}),
            "/environments/live/prerequisites/0",
            "there is no flag \"x\"",
        ),
        (
            json!({"key": "n", "split": [{"variant": "v", "weight": 9_999}], "variants": {"v": true}}),
            "/split",
            "the weights sum to 9999",
        ),
    ] {
        let faults = check(document.clone());
        assert_eq!(faults.len(), 1, "{document}: {faults:?}");
        assert_eq!(faults[0].0, pointer, "{document}");
        assert!(faults[0].1.starts_with(message), "{document}: {}", faults[0].1);
    }
    assert_eq!(
        check(json!({"key": "n", "prerequisites": ["a"], "parent": "b", "environments": {"live": {"enabled": false}}})),
        []
    );
    assert_eq!(check(json!({"key": "a", "prerequisites": []})), []);
}

#[test]
fn explain_tells_every_step() {
    let snapshot = Worlds::new(None).put(&[
        on("p"),
        json!({"key": "a", "prerequisites": ["p"], "targeting_enabled": true, "rollout_enabled": true, "rollout_percentage": 100,
            "targeting_rules": [
                {"attribute": "country", "operator": "equals", "value": "DE"},
                {"conditions": {"any": [{"attribute": "age", "operator": "gte", "value": 18}, {"attribute": "plan", "operator": "exists", "value": true}]}},
            ]}),
    ]);
    let attributes: Map<String, Value> = json!({"country": "FR", "age": "old"}).as_object().unwrap().clone();
    let context = Context { attributes: &attributes, ..context() };
    let told = snapshot.explain(snapshot.flag("a").unwrap(), context);
    assert_eq!((&told["value"], &told["reason"]), (&json!(true), &json!("rollout")));
    let steps = told["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["prerequisite", "rule", "rule", "bucket", "rollout"]);
    assert_eq!(steps[0]["met"], true);
    assert_eq!(
        steps[1]["condition"],
        json!({"attribute": "country", "operator": "equals", "seen": "FR", "result": "no", "because": "the value does not match"})
    );
    assert_eq!(steps[2]["condition"]["any"][0]["because"], "the operator cannot use a value of this type");
    assert_eq!(steps[2]["condition"]["any"][1]["because"], "the value does not match");
    assert_eq!(steps[4]["served"], true);
}

#[test]
fn what_changed_is_told_once() {
    let mut worlds = Worlds::new(None);
    let told = |worlds: &mut Worlds| {
        let changed = worlds.world.take_changed();
        changed.into_iter().map(|(document, action)| (document.key.to_string(), action)).collect::<Vec<_>>()
    };
    let of = |changes: &[(&str, Action)]| {
        changes.iter().map(|(key, action)| ((*key).to_owned(), *action)).collect::<Vec<_>>()
    };
    worlds.put(&[json!({ "key": "a" }), json!({ "key": "b" })]);
    assert_eq!(told(&mut worlds), of(&[("a", Action::Created), ("b", Action::Created)]));
    // A child is compiled again with its parent, but its document stays.
    worlds.put(&[json!({ "key": "a" }), json!({ "key": "b", "parent": "a" })]);
    assert_eq!(told(&mut worlds), of(&[("b", Action::Updated)]));
    worlds.put_text("a", "broken");
    assert_eq!(told(&mut worlds), of(&[("a", Action::Updated)]));
    worlds.remove("nowhere");
    assert_eq!(told(&mut worlds), []);
    let revision = worlds.revision();
    worlds.world.load(revision, [(DocumentKey::flag("a"), json!({ "key": "a" }).to_string().into())]);
    assert_eq!(told(&mut worlds), of(&[("b", Action::Deleted), ("a", Action::Updated)]));
    assert_eq!(told(&mut worlds), []);
}
