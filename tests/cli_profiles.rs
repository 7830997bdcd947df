//! `flaggate profiles` of the real binary, against a gateway of the real binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cli.rs"]
mod cli;

use std::fs;

use serde_json::{Value, json};

use self::cli::{Gateway, free};

impl Gateway {
    fn profile(&self, user: &str) -> Value {
        serde_json::from_str(&self.said(&["profiles", "get", user, "--json"])).unwrap()
    }

    /// The path of a file with this text.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn the_life_of_a_profile() {
    let gateway = Gateway::start();
    let user = "ann/é";
    let (code, _, err) = gateway.run(&["profiles", "get", user]);
    assert!(code == 3 && err.contains("nothing is known of this user"), "{code} {err}");
    let put = ["profiles", "put", user, "plan=pro", "zip=\"01234\"", "behavioral_data.visits=7"];
    assert_eq!(gateway.said(&put), "the profile of \"ann/é\" is written\n");
    let profile = gateway.profile(user);
    assert_eq!(profile["attributes"], json!({ "plan": "pro", "zip": "01234" }));
    assert_eq!(profile["behavioral_data"], json!({ "visits": 7 }));
    gateway.said(&["profiles", "set", user, "zip=null", "attributes.age=42", "behavioral_data.visits=8"]);
    let profile = gateway.profile(user);
    assert_eq!(profile["attributes"], json!({ "plan": "pro", "age": 42 }));
    assert_eq!(profile["behavioral_data"], json!({ "visits": 8 }));
    let (code, _, err) = gateway.run(&["profiles", "set", user, "behavioral_data.visits=often"]);
    assert!(code == 5 && err.contains("/behavioral_data/visits: "), "{code} {err}");

    gateway.said(&["profiles", "activity", user, "--set", "current_page=/checkout", "seconds=5", "--ttl", "60"]);
    assert_eq!(gateway.profile(user)["activity"], json!({ "current_page": "/checkout", "seconds": 5 }));
    let shown = gateway.said(&["profiles", "get", user]);
    assert!(shown.contains("attributes\n  plan                    pro\n"), "{shown}");
    assert!(shown.ends_with("activity\n  current_page            /checkout\n  seconds                 5\n"), "{shown}");
    gateway.said(&["profiles", "activity", user, "--clear"]);
    assert_eq!(gateway.profile(user)["activity"], Value::Null);

    // What is shown can be given back.
    let shown = gateway.said(&["profiles", "get", user, "--json"]);
    let file = gateway.file("profile.json", &shown);
    let answer = gateway.said(&["profiles", "put", user, "--file", &file, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["success"], true);

    let (code, _, err) = gateway.run(&["profiles", "delete", user]);
    assert!(code == 1 && err.contains("--yes"), "{code} {err}");
    gateway.said(&["profiles", "delete", user, "--yes"]);
    assert_eq!(gateway.run(&["profiles", "delete", user, "--yes"]).0, 3);
    assert_eq!(gateway.run(&["profiles", "delete", "..", "--yes"]).0, 1);
}

#[test]
fn many_are_imported() {
    let gateway = Gateway::start();
    let mut lines: Vec<String> = (0..2500)
        .map(|number| json!({ "user_id": format!("u{number}"), "attributes": { "number": number } }).to_string())
        .collect();
    lines[1234] = "{\"user_id\": \"wrong\", \"behavioral_data\": {\"n\": \"1\"}}".to_owned();
    lines.insert(7, String::new());
    let file = gateway.file("users.ndjson", &lines.join("\n"));
    let (code, out, err) = gateway.run(&["profiles", "import", &file, "--batch", "1000", "--progress"]);
    assert!(code == 1 && out.starts_with("2499 written, 1 failed in "), "{code} {out} {err}");
    assert!(err.contains("users.ndjson:1236: /behavioral_data/n: behavioral data are numbers"), "{err}");
    assert!(err.contains("1000 written, 0 failed, ") && err.contains(" s left"), "{err}");
    assert_eq!(gateway.profile("u2499")["attributes"], json!({ "number": 2499 }));

    let csv = "user_id,country,visits,behavioral_data.n\nann,DE,7,1.5\n12,\"a \"\"b\"\"\",,\n";
    let file = gateway.file("users.csv", csv);
    let out = gateway.said(&["profiles", "import", &file, "--behavioral", "visits", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["done"], &told["failed"], &told["errors"]), (&json!(2), &json!(0), &json!([])), "{told}");
    let profile = gateway.profile("ann");
    assert_eq!(
        (&profile["attributes"], &profile["behavioral_data"]),
        (&json!({ "country": "DE" }), &json!({ "visits": 7, "n": 1.5 }))
    );
    assert_eq!(gateway.profile("12")["attributes"], json!({ "country": "a \"b\"" }));

    let two = "{\"user_id\": \"first\"}\n{\"user_id\": \"second\"}\n";
    let (code, out, err) = gateway.run_with(&["profiles", "import", "-", "--from", "2"], two);
    assert!(code == 0 && out.starts_with("1 written, 0 failed"), "{code} {out} {err}");
    assert_eq!(gateway.run(&["profiles", "get", "first"]).0, 3);
    let (code, _, err) = gateway.run(&["profiles", "import", "/no/such/file"]);
    assert!(code == 1 && err.contains("/no/such/file"), "{code} {err}");
    let nowhere = format!("http://{}", free());
    let (code, _, err) = gateway.run(&["profiles", "import", &file, "--admin", &nowhere]);
    assert!(code == 7 && err.contains("no gateway answers") && err.contains("--from 2 goes on"), "{code} {err}");
    let file = gateway.file("wrong.csv", "id,country\n1,DE\n");
    let (code, _, err) = gateway.run(&["profiles", "import", &file]);
    assert!(code == 1 && err.contains("no column `user_id`"), "{code} {err}");
}
