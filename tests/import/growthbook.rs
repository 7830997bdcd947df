//! GrowthBook's features: who gets what, here and by the rules that GrowthBook publishes for its SDKs.

use flaggate::import::{self, Format, Imported};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::support::{evaluate, world};

/// `hash(seed, value, version)` of GrowthBook's SDK specification.
fn hash(seed: &str, value: &str, version: u64) -> f64 {
    let fnv = |text: &str| {
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    };
    match version {
        1 => f64::from(fnv(&format!("{value}{seed}")) % 1_000) / 1_000.0,
        _ => f64::from(fnv(&fnv(&format!("{seed}{value}")).to_string()) % 10_000) / 10_000.0,
    }
}

fn read(features: &Value) -> Imported {
    import::read(&json!({ "features": features }), None).unwrap()
}

/// What one feature gives.
fn gives(imported: &Imported, key: &str, user: &str, attributes: &Value) -> Value {
    let documents: Vec<Value> =
        imported.flags.iter().map(|flag| Value::Object(flag.document.fields().clone())).collect();
    let attributes = attributes.as_object().unwrap();
    evaluate(&world(&documents), key, user, attributes, Timestamp::UNIX_EPOCH).unwrap().0
}

#[test]
fn the_reference_is_the_published_one() {
    // From the `hash` cases of the specification: seed, value, version, result.
    for (seed, value, version, expected) in [
        ("", "a", 1, 0.22),
        ("", "b", 1, 0.077),
        ("b", "a", 1, 0.946),
        ("ef", "d", 1, 0.652),
        ("asdf", "8952klfjas09ujk", 1, 0.549),
        ("", "123", 1, 0.011),
        ("seed", "a", 2, 0.0505),
        ("seed", "b", 2, 0.2696),
        ("foo", "ab", 2, 0.2575),
        ("foo", "def", 2, 0.2019),
        ("89123klj", "8952klfjas09ujkasdf", 2, 0.124),
        ("90850943850283058242805", "123", 2, 0.7516),
    ] {
        let found = hash(seed, value, version);
        assert!((found - expected).abs() < 1e-9, "{seed} {value} {version}: {found}");
    }
}

#[test]
fn the_format_is_found_out() {
    assert_eq!(read(&json!({})).format, Format::Growthbook);
    let wrong = import::read(&json!({ "features": { "a": 1, "b": { "rules": 2 } } }), None).unwrap_err();
    let pointers: Vec<&str> = wrong.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/features/a", "/features/b/rules"]);
}

#[test]
fn experiments_draw_as_growthbook_does() {
    for (version, seed, coverage, weights) in [
        (1, None, 1.0, [0.5, 0.3, 0.2]),
        (1, Some("s"), 0.4, [0.1, 0.2, 0.7]),
        (2, Some("seed"), 0.333, [0.34, 0.33, 0.33]),
        (2, None, 1.0, [0.1, 0.2, 0.7]),
    ] {
        let mut rule = json!({ "variations": ["a", "b", "c"], "weights": weights, "coverage": coverage, "hashVersion": version, "key": "exp" });
        if let Some(seed) = seed {
            rule["seed"] = seed.into();
        }
        let imported = read(&json!({ "f": { "defaultValue": "off", "rules": [rule] } }));
        assert!(imported.report.is_empty(), "{:?}", imported.report);
        for user in 0..300 {
            let user = format!("user-{user}");
            let drawn = hash(seed.unwrap_or("exp"), &user, version);
            let mut begin = 0.0;
            let mut expected = "off";
            for (weight, value) in weights.into_iter().zip(["a", "b", "c"]) {
                if drawn >= begin && drawn < begin + coverage * weight {
                    expected = value;
                }
                begin += weight;
            }
            assert_eq!(gives(&imported, "f", &user, &json!({})), expected, "{user} {drawn} {rule}");
        }
    }
}

#[test]
fn rollouts_draw_as_growthbook_does() {
    for (version, coverage) in [(1, 0.25), (2, 0.1), (2, 0.0), (1, 1.0)] {
        let rule = json!({ "force": true, "coverage": coverage, "hashVersion": version, "hashAttribute": "company" });
        let imported = read(&json!({ "f": { "defaultValue": false, "rules": [rule] } }));
        for company in 0..300 {
            let company = format!("c{company}");
            let expected = hash("f", &company, version) <= coverage;
            let found = gives(&imported, "f", "u", &json!({ "company": company }));
            assert_eq!(found, expected, "{company} {rule}");
        }
        assert_eq!(gives(&imported, "f", "u", &json!({})), false, "nobody is drawn without the attribute");
    }
    let ranged = json!({ "force": 2, "range": [0.2, 0.6], "hashVersion": 2, "fallbackAttribute": "device" });
    let imported = read(&json!({ "f": { "defaultValue": 1, "rules": [ranged] } }));
    for user in 0..300 {
        let user = format!("u{user}");
        let expected = if (0.2..0.6).contains(&hash("f", &user, 2)) { json!(2) } else { json!(1) };
        assert_eq!(gives(&imported, "f", &user, &json!({})), expected);
        assert_eq!(gives(&imported, "f", "", &json!({ "device": user })), expected);
    }
}

#[test]
fn namespaces_and_filters_part_users() {
    let rule = json!({ "variations": ["a", "b"], "namespace": ["ns", 0.2, 0.7], "key": "e" });
    let filters = json!([{ "seed": "layer", "ranges": [[0.0, 0.25], [0.5, 0.75]], "hashVersion": 2 }]);
    let filtered = json!({ "force": "x", "filters": filters });
    let imported = read(
        &json!({ "n": { "defaultValue": "", "rules": [rule] }, "l": { "defaultValue": "", "rules": [filtered] } }),
    );
    for user in 0..300 {
        let user = user.to_string();
        let place = hash("__ns", &user, 1);
        let drawn = if hash("e", &user, 1) < 0.5 { "a" } else { "b" };
        let expected = if (0.2..0.7).contains(&place) { drawn } else { "" };
        assert_eq!(gives(&imported, "n", &user, &json!({})), expected, "{user} {place}");
        let place = hash("layer", &user, 2);
        let within = (0.0..0.25).contains(&place) || (0.5..0.75).contains(&place);
        assert_eq!(gives(&imported, "l", &user, &json!({})), if within { "x" } else { "" }, "{user} {place}");
    }
}

#[test]
fn conditions_mean_the_same() {
    let matches = |condition: Value, seen: Value| {
        let rule = json!({ "force": true, "condition": condition });
        let imported = read(&json!({ "f": { "defaultValue": false, "rules": [rule] } }));
        assert!(imported.report.is_empty(), "{:?}", imported.report);
        gives(&imported, "f", "u", &seen) == true
    };
    for (condition, seen, expected) in [
        (json!({}), json!({}), true),
        (json!({ "country": "US" }), json!({ "country": "US" }), true),
        (json!({ "country": "US" }), json!({ "country": "CA" }), false),
        (json!({ "country": "US" }), json!({}), false),
        (json!({ "id": "u" }), json!({}), true),
        (json!({ "age": { "$gt": 18, "$lte": 30 } }), json!({ "age": 30 }), true),
        (json!({ "age": { "$gt": 18, "$lte": 30 } }), json!({ "age": 31 }), false),
        (json!({ "plan": { "$in": ["pro", "max"] } }), json!({ "plan": "max" }), true),
        (json!({ "plan": { "$in": ["pro", "max"] } }), json!({ "plan": ["free", "pro"] }), true),
        (json!({ "plan": { "$nin": ["pro"] } }), json!({ "plan": "free" }), true),
        (json!({ "plan": { "$nin": ["pro"] } }), json!({}), true),
        (json!({ "plan": { "$ne": "pro" } }), json!({ "plan": "pro" }), false),
        (json!({ "plan": { "$exists": false } }), json!({}), true),
        (json!({ "plan": { "$exists": true } }), json!({}), false),
        (json!({ "plan": null }), json!({}), true),
        (json!({ "beta": false }), json!({}), true),
        (json!({ "beta": true }), json!({ "beta": true }), true),
        (json!({ "url": { "$regex": "shop/(a|b)$" } }), json!({ "url": "https://shop/b" }), true),
        (json!({ "url": { "$regex": "shop/(a|b)$" } }), json!({ "url": "https://shop/c" }), false),
        (json!({ "v": { "$vgte": "1.2.3" } }), json!({ "v": "1.10.0" }), true),
        (json!({ "company.plan": "pro" }), json!({ "company": { "plan": "pro" } }), true),
        (json!({ "tags": { "$all": ["a", "b"] } }), json!({ "tags": ["b", "a", "c"] }), true),
        (json!({ "$or": [{ "a": 1 }, { "b": 2 }] }), json!({ "b": 2 }), true),
        (json!({ "$nor": [{ "a": 1 }, { "b": 2 }] }), json!({ "b": 2 }), false),
        (json!({ "$not": { "a": 1 } }), json!({ "a": 2 }), true),
        (json!({ "a": { "$not": { "$gt": 5 } } }), json!({ "a": 4 }), true),
        (json!({ "$and": [{ "a": 1 }, { "b": 2 }] }), json!({ "a": 1, "b": 2 }), true),
    ] {
        assert_eq!(matches(condition.clone(), seen.clone()), expected, "{condition} {seen}");
    }
}

#[test]
fn what_cannot_be_carried_over_is_told() {
    let imported = read(&json!({
        "parent": { "defaultValue": true },
        "gated": { "defaultValue": false, "rules": [
            { "parentConditions": [{ "id": "parent", "condition": { "value": true }, "gate": true }] },
            { "force": true },
        ] },
        "odd": { "defaultValue": null, "rules": [
            { "force": 1, "condition": { "a": { "$elemMatch": { "$gt": 1 } } } },
            { "force": null },
            { "variations": [1, 2], "hashVersion": 3 },
            { "force": 1, "parentConditions": [{ "id": "parent", "condition": { "value": true } }] },
            { "force": 7, "condition": { "a": 1 } },
        ] },
        "ünï": { "defaultValue": "x" },
    }));
    let told: Vec<&str> = imported.report.iter().map(|note| note.pointer.as_str()).collect();
    let expected = [
        "/features/gated/rules/0",
        "/features/odd/rules/0",
        "/features/odd/rules/1",
        "/features/odd/rules/2",
        "/features/odd/rules/3",
        "/features/odd/defaultValue",
        "/features/ünï",
    ];
    assert_eq!(told, expected, "{:#?}", imported.report);
    assert_eq!(gives(&imported, "gated", "u", &json!({})), true);
    assert_eq!(gives(&imported, "odd", "u", &json!({ "a": 1 })), 7);
    assert_eq!(gives(&imported, "odd", "u", &json!(Map::new())), 0);
}
