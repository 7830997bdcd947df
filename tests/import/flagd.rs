//! flagd: the accept and reject fixtures of its schemas (`tests/data/flagd-schemas`), and its targeting.

use std::{fs, path::PathBuf};

use flaggate::import::{self, Format, Imported};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::support::{evaluate, world};

/// Refused by the schema for providers, taken by the one for the daemon, which the importer follows.
const TAKEN: &str = "flags/negative/with-array-flags.json";

fn fixtures(folder: &str) -> Vec<(String, Value)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/flagd-schemas/json/test");
    let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
        (name, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
    };
    let found: Vec<_> = entries.map(read).collect();
    assert!(!found.is_empty());
    found
}

/// A flag with this targeting.
fn targeted(targeting: &Value) -> Value {
    json!({"flags": {"f": {"state": "ENABLED", "variants": {"a": "A", "b": "B", "none": "N"}, "defaultVariant": "none", "targeting": targeting}},
        "$evaluators": {"some-ref": {"==": [{"var": "tier"}, "pro"]}}})
}

fn imported(source: &Value) -> Imported {
    import::read(source, Some(Format::Flagd)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

#[test]
fn the_schemas_fixtures() {
    for (name, source) in fixtures("flags/positive").into_iter().chain(fixtures("flagd/positive")) {
        let imported = import::read(&source, None).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        assert_eq!((imported.format, imported.flags.is_empty()), (Format::Flagd, false), "{name}");
        let flags: Vec<Value> = imported.flags.iter().map(|flag| flag.document.fields().clone().into()).collect();
        world(&flags);
    }
    for (name, source) in fixtures("flags/negative") {
        match import::read(&source, Some(Format::Flagd)) {
            Ok(_) => assert_eq!(name, TAKEN),
            Err(faults) => {
                assert_ne!(name, TAKEN);
                assert!(source.pointer(faults[0].pointer.rsplit_once('/').unwrap().0).is_some(), "{name}: {faults:?}");
            }
        }
    }
    for (name, targeting) in fixtures("targeting/positive") {
        let imported = imported(&targeted(&targeting));
        world(&[imported.flags[0].document.fields().clone().into()]);
        assert_eq!(imported.flags.len(), 1, "{name}");
    }
    for (name, targeting) in fixtures("targeting/negative") {
        let faults = import::read(&targeted(&targeting), Some(Format::Flagd)).expect_err(&name);
        assert!(faults[0].pointer.starts_with("/flags/f/targeting/"), "{name}: {faults:?}");
    }
}

#[test]
fn targeting_decides_as_in_flagd() {
    let var = |name: &str| json!({"var": name});
    let chain = json!({"if": [{"ends_with": [var("email"), "@x.com"]}, "a", {"and": [{">": [var("age"), 17]}, {"!": [var("banned")]}]}, "b"]});
    let referred = json!({"if": [{"$ref": "some-ref"}, "a", null]});
    let version =
        json!({"if": [{"sem_ver": [var("v"), "^", "2.1.0"]}, "a", {"sem_ver": [var("v"), "~", "1.2.3"]}, "b"]});
    let time = json!({"if": [{">=": [var("$flagd.timestamp"), 100]}, "a", "b"]});
    for (targeting, seen, expected) in [
        (&chain, json!({"email": "u@x.com"}), "a"),
        (&chain, json!({"age": 18}), "b"),
        (&chain, json!({"age": "18", "banned": false}), "b"),
        (&chain, json!({"age": 18, "banned": true}), "none"),
        (&chain, json!({}), "none"),
        (&referred, json!({"tier": "pro"}), "a"),
        (&referred, json!({"tier": "free"}), "none"),
        (&version, json!({"v": "2.9.0-rc.1"}), "a"),
        (&version, json!({"v": "3.0.0-rc.1"}), "none"),
        (&version, json!({"v": "1.2.9"}), "b"),
        (&time, json!({}), "b"),
    ] {
        let imported = imported(&targeted(targeting));
        assert_eq!(imported.report, [], "{targeting}");
        let snapshot = world(&[imported.flags[0].document.fields().clone().into()]);
        let found = evaluate(&snapshot, "f", "u", seen.as_object().unwrap(), Timestamp::from_second(99).unwrap());
        assert_eq!(found.unwrap().1, expected, "{targeting} {seen}");
    }
}

#[test]
fn fractional_draws_by_key_and_targeting_key() {
    // flagd's definition (high-precision bucketing): murmur3_32("f" + targeting key) * sum of weights / 2^32.
    let expected = |user: &str| {
        let hash = murmur3::murmur3_32(&mut format!("f{user}").as_bytes(), 0).unwrap();
        if (u64::from(hash) * 4) >> 32 < 1 { "a" } else { "b" }
    };
    let imported = imported(&targeted(&json!({"fractional": [["a", 1], ["b", 3]]})));
    let snapshot = world(&[imported.flags[0].document.fields().clone().into()]);
    let variation = |user: &str| evaluate(&snapshot, "f", user, &Map::new(), Timestamp::UNIX_EPOCH).unwrap().1;
    for user in 0..500 {
        let user = format!("user-{user}");
        assert_eq!(variation(&user), expected(&user));
    }
    assert_eq!(variation(""), "none", "without a targeting key nobody is drawn");
}
