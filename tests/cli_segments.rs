//! What `flaggate segments` tells of all users, with the real binary against a gateway of the real binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cli.rs"]
mod cli;

use std::fs;

use serde_json::{Value, json};

use self::cli::Gateway;

/// A gateway with 60 users, half of them in `even`, a third in `third`.
fn filled() -> Gateway {
    let gateway = Gateway::start();
    for id in ["even", "third"] {
        let rules = json!([{ "field": id, "operator": "equals", "value": true }]);
        let file = gateway.folder.path().join(format!("{id}.json"));
        let segment = json!({ "id": id, "name": id, "rules": rules });
        fs::write(&file, segment.to_string()).unwrap();
        gateway.said(&["segments", "create", id, "--file", file.to_str().unwrap()]);
    }
    let line = |number: u32| {
        let attributes = json!({ "even": number.is_multiple_of(2), "third": number.is_multiple_of(3) });
        json!({ "user_id": format!("u{number}"), "attributes": attributes }).to_string()
    };
    let users = gateway.folder.path().join("users.ndjson");
    fs::write(&users, (0..60).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    gateway.said(&["profiles", "import", users.to_str().unwrap()]);
    gateway
}

#[test]
fn estimates_overlaps_and_runs() {
    let gateway = filled();
    assert_eq!(gateway.said(&["segments", "estimate", "even"]), "30 of 60 users, counted\n");
    let told = gateway.said(&["segments", "estimate", "third", "--sample", "10", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["estimate"], 20);
    let table = gateway.said(&["segments", "overlap", "even", "third"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["even", "third", "10", "33.3", "%", "50.0", "%", "0.250"], "{table}");
    let run = gateway.said(&["segments", "recompute", "even"]);
    assert!(run.starts_with("finished: 60 profiles, 30 members, "), "{run}");
    let run = gateway.said(&["segments", "recompute", "third", "--rate", "1000", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&run).unwrap()["members"], 20, "{run}");
    let shown = gateway.said(&["segments", "get", "third", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["estimated_size"], 20, "{shown}");
    for (wrong, code) in [
        (&["segments", "estimate", "nowhere"][..], 3),
        (&["segments", "recompute", "even", "--resume", "x"], 5),
        (&["segments", "overlap", "even", "nowhere"], 3),
    ] {
        let (found, _, err) = gateway.run(wrong);
        assert_eq!(found, code, "{wrong:?}: {err}");
    }
    let (_, stopped, err) = gateway.run(&["segments", "recompute", "even", "--stop"]);
    assert!(stopped.starts_with("finished"), "{stopped} {err}");
}
