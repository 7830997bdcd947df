//! Unleash's client specification (`tests/data/unleash-client-specification`): every case through the importer and the
//! evaluation.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use flaggate::{
    import::{self, Format, Imported},
    model::Reason,
    snapshot::Snapshot,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::support::{evaluate, world};

/// The cases that do not pass, each with the reason.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "18-utf8-flag-names: Feature.UTF-8.Hellø_Wørld feature toggle should be enabled",
        "keys are ASCII here: the flag is imported under another key, which the report names",
    ),
    (
        "18-utf8-flag-names: Feature.UTF-8.😊_φriend_你好_🌍 feature toggle should be enabled",
        "keys are ASCII here: the flag is imported under another key, which the report names",
    ),
];

fn specification(name: &str) -> Value {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/unleash-client-specification/specifications");
    serde_json::from_str(&fs::read_to_string(root.join(name)).unwrap()).unwrap()
}

fn imported(state: &Value) -> Imported {
    import::read(state, Some(Format::Unleash)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn snapshot(imported: &Imported) -> std::sync::Arc<Snapshot> {
    let documents: Vec<Value> =
        imported.flags.iter().map(|flag| Value::Object(flag.document.fields().clone())).collect();
    world(&documents)
}

/// Unleash's context as user, attributes and time.
fn context(context: &Value) -> (String, Map<String, Value>, Timestamp) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (mut user, mut attributes, mut now) = (String::new(), Map::new(), Timestamp::UNIX_EPOCH);
    for (name, value) in context.as_object().unwrap() {
        match name.as_str() {
            "userId" => user = text(value),
            "currentTime" => now = value.as_str().unwrap().parse().unwrap(),
            "properties" => attributes.extend(value.as_object().unwrap().clone()),
            _ => {
                attributes.insert(name.clone(), value.clone());
            }
        }
    }
    (user, attributes, now)
}

/// What Unleash's clients would say of what a flag gives: whether the feature is on, and its variant.
fn said(found: Option<(Value, String, Reason)>) -> (bool, String, Value) {
    match found {
        Some((value, variation, Reason::TargetingMatch)) => match variation.as_str() {
            "true" | "enabled" => (true, "disabled".to_owned(), Value::Null),
            _ => (true, variation, value),
        },
        Some(_) | None => (false, "disabled".to_owned(), Value::Null),
    }
}

fn payload(expected: &Value) -> Value {
    match expected["payload"]["type"].as_str() {
        Some("number") => serde_json::from_str(expected["payload"]["value"].as_str().unwrap()).unwrap(),
        Some(_) => expected["payload"]["value"].clone(),
        None => Value::Null,
    }
}

#[test]
fn the_client_specification() {
    let listed: BTreeMap<&str, &str> = OTHERWISE.iter().copied().collect();
    let (mut passed, mut failed, mut wrong) = (0, BTreeSet::new(), Vec::new());
    for file in specification("index.json").as_array().unwrap() {
        let file = file.as_str().unwrap();
        let specification = specification(file);
        let snapshot = snapshot(&imported(&specification["state"]));
        let list = |name: &str| specification[name].as_array().cloned().unwrap_or_default();
        for case in list("tests").into_iter().chain(list("variantTests")) {
            let (user, attributes, now) = context(&case["context"]);
            let found = evaluate(&snapshot, case["toggleName"].as_str().unwrap(), &user, &attributes, now);
            let (on, variant, value) = said(found.clone());
            let expected = &case["expectedResult"];
            let right = match expected.as_bool() {
                Some(expected) => on == expected,
                None => {
                    (json!(on), json!(variant), value)
                        == (expected["feature_enabled"].clone(), expected["name"].clone(), payload(expected))
                }
            };
            let name = format!("{}: {}", file.trim_end_matches(".json"), case["description"].as_str().unwrap());
            match (right, listed.contains_key(name.as_str())) {
                (true, false) => passed += 1,
                (true, true) => wrong.push(format!("{name}: passes now; take it off the list")),
                (false, true) => {
                    failed.insert(name);
                }
                (false, false) => wrong.push(format!("{name}: expected {expected}, found {found:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} passed; {} wrong:\n{}", passed, wrong.len(), wrong.join("\n"));
    assert_eq!((passed, failed.len()), (277, OTHERWISE.len()));
}

#[test]
fn the_format_is_found_out() {
    for name in ["01-simple-examples.json", "19-delta-api-hydration.json", "20-delta-api-events.json"] {
        assert_eq!(import::read(&specification(name)["state"], None).unwrap().format, Format::Unleash);
    }
}

#[test]
fn a_name_that_is_no_key_is_told() {
    let imported = imported(&specification("18-utf8-flag-names.json")["state"]);
    let keys: Vec<&str> = imported.flags.iter().map(|flag| flag.document.key()).collect();
    assert!(keys[0].starts_with("Feature.UTF-8.Hell-_W-rld-"), "{keys:?}");
    for (flag, note) in imported.flags.iter().zip(&imported.report) {
        assert_eq!((note.flag.as_ref(), note.pointer.as_str()), (Some(&flag.name), &*format!("{}/name", flag.pointer)));
        assert!(note.effect.contains(flag.document.key()), "{note:?}");
    }
}

#[test]
fn what_is_not_carried_over_is_told() {
    let constraint = |constraint: Value| json!({"name": "default", "constraints": [constraint]});
    let cases = [
        (json!({"name": "gitHubOrg"}), "/features/0/strategies/0", "strategy \"gitHubOrg\""),
        (json!({"name": "default", "segments": [7]}), "/features/0/strategies/0/segments/0", "segment 7"),
        (
            constraint(json!({"contextName": "x", "operator": "NUM_GT", "value": "many"})),
            "/features/0/strategies/0/constraints/0",
            "constraint NUM_GT on \"x\"",
        ),
        (
            constraint(json!({"contextName": "x", "operator": "REGEX", "value": "(?=a)"})),
            "/features/0/strategies/0/constraints/0",
            "constraint REGEX on \"x\"",
        ),
        (
            constraint(json!({"contextName": "x", "operator": "DATE_AFTER", "value": "soon"})),
            "/features/0/strategies/0/constraints/0",
            "constraint DATE_AFTER on \"x\"",
        ),
    ];
    for (strategy, pointer, what) in cases {
        let imported = imported(&json!({"features": [{"name": "f", "enabled": true, "strategies": [strategy]}]}));
        let notes: Vec<(&str, &str)> =
            imported.report.iter().map(|note| (note.pointer.as_str(), note.what.as_str())).collect();
        assert_eq!(notes, [(pointer, what)]);
        let found = evaluate(&snapshot(&imported), "f", "u", &Map::new(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(found.0, json!(false));
    }
}

#[test]
fn what_is_no_feature_is_refused_with_its_place() {
    for (state, pointer) in [
        (json!({}), "/features"),
        (json!({"features": {}}), "/features"),
        (json!({"features": [1]}), "/features/0"),
        (json!({"features": [{}]}), "/features/0/name"),
        (json!({"features": [{"name": "a"}, {"name": "a"}]}), "/features/1/name"),
        (json!({"features": [{"name": "a", "enabled": "yes"}]}), "/features/0/enabled"),
        (json!({"features": [{"name": "a", "strategies": {}}]}), "/features/0/strategies"),
        (json!({"features": [{"name": "a", "strategies": [1]}]}), "/features/0/strategies/0"),
        (json!({"features": [], "segments": 1}), "/segments"),
        (json!({"events": [{"type": "other"}]}), "/events/0/type"),
    ] {
        let faults = import::read(&state, Some(Format::Unleash)).unwrap_err();
        assert_eq!(faults[0].pointer, pointer, "{state}");
    }
}

#[test]
fn a_variant_payload_that_says_no_still_counts_as_on() {
    let variants = json!([{"name": "zero", "weight": 1, "payload": {"type": "number", "value": "0"}}]);
    let state = json!({"features": [
        {"name": "parent", "enabled": true, "variants": variants},
        {"name": "child", "enabled": true, "dependencies": [{"feature": "parent"}]},
        {"name": "other", "enabled": true, "dependencies": [{"feature": "parent", "enabled": false}]},
    ]});
    let snapshot = snapshot(&imported(&state));
    let value = |key: &str| evaluate(&snapshot, key, "u", &Map::new(), Timestamp::UNIX_EPOCH).unwrap().0;
    assert_eq!((value("parent"), value("child"), value("other")), (json!(0), json!(true), json!(false)));
}

#[test]
fn two_variants_of_one_name_are_told_apart() {
    let strategy = |value: &str, user: &str| {
        json!({"name": "userWithId", "parameters": {"userIds": user},
            "variants": [{"name": "v", "weight": 1, "payload": {"type": "string", "value": value}}]})
    };
    let state = json!({"features": [{"name": "f", "enabled": true, "strategies": [strategy("one", "a"), strategy("two", "b")]}]});
    let imported = imported(&state);
    let snapshot = snapshot(&imported);
    let value = |user: &str| evaluate(&snapshot, "f", user, &Map::new(), Timestamp::UNIX_EPOCH).unwrap().0;
    assert_eq!((value("a"), value("b"), value("c")), (json!("one"), json!("two"), json!(false)));
    assert_eq!(imported.report.len(), 1);
}
