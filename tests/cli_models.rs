//! `flaggate models` of the real binary, against a gateway of the real binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cli.rs"]
mod cli;

use std::{fmt::Write as _, fs};

use serde_json::{Value, json};

use self::cli::Gateway;

impl Gateway {
    /// The path of a file with these bytes.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn model(&self, id: &str) -> Value {
        serde_json::from_str(&self.said(&["models", "get", id, "--json"])).unwrap()
    }
}

fn people(count: u32) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let visits = if number % 3 == 0 { 100 + number % 10 } else { number % 10 };
        let person = json!({"user_id": format!("user-{number}"), "behavioral_data": {"visits": visits},
            "attributes": {"plan": if number % 2 == 0 { "pro" } else { "free" }, "left": number % 3 != 0}});
        writeln!(text, "{person}").unwrap();
        text
    })
}

#[test]
fn the_life_of_a_model() {
    let gateway = Gateway::start();
    let document = json!({"kind": "logistic", "feature_columns": ["visits"], "scaler": {"mean": [10.0], "scale": [2.0]},
        "coefficients": [-1.0], "intercept": 0.0});
    let file = gateway.file("churn.json", document.to_string().as_bytes());
    assert_eq!(gateway.said(&["models", "put", "churn", &file]), "churn is at revision 1\n");
    assert_eq!(gateway.model("churn")["coefficients"], json!([-1.0]));
    let people = gateway.file("people.ndjson", people(300).as_bytes());
    gateway.said(&["profiles", "import", &people]);
    let train = ["models", "train", "churn", "--kind", "logistic", "--features", "visits,plan", "--label", "left"];
    let encode = ["--encode", "plan.free=0", "--encode", "plan.pro=1", "--seed", "3"];
    let (code, out, err) = gateway.run(&[&train[..], &encode[..]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("300 profiles read\n") && err.contains("training: 1 of 1\n"), "{err}");
    let expected =
        "churn is at revision 2\nlearnt from 240 of 300 profiles, judged by 60 others\nresult: AUC 1.000\naccuracy 1.0";
    assert!(out.starts_with(expected), "{out}");
    let listed = gateway.said(&["models", "list"]);
    assert!(listed.contains("churn  2         logistic  visits,plan  240   AUC 1.000  yes      -\n"), "{listed}");
    let shown = gateway.said(&["models", "get", "churn"]);
    assert!(shown.contains("label             left\n"), "{shown}");
    let end =
        gateway.said(&["models", "train", "groups", "--kind", "kmeans", "--features", "visits", "-k", "2", "--json"]);
    let end: Value = serde_json::from_str(&end).unwrap();
    assert_eq!((&end["complete"], &end["report"]["cluster_sizes"]), (&json!(true), &json!([200, 100])));
    assert_eq!(gateway.said(&["models", "rollback", "churn", "1"]), "churn is at revision 3\n");
    assert_eq!(gateway.model("churn")["coefficients"], json!([-1.0]));
    let history = gateway.said(&["models", "history", "churn"]);
    assert!(history.starts_with("   3  ") && history.contains("created by"), "{history}");
    let (code, _, err) = gateway.run(&["models", "delete", "churn"]);
    assert!(code == 1 && err.contains("--yes"), "{err}");
    assert!(gateway.said(&["models", "delete", "churn", "--yes"]).starts_with("churn is deleted"));
    assert_eq!(gateway.said(&["models", "rollback", "churn", "2"]), "churn is at revision 4\n");
}

#[test]
fn what_goes_wrong_is_told_by_the_exit_code() {
    let gateway = Gateway::start();
    let train = ["models", "train", "m", "--kind", "kmeans", "--features", "visits", "-k", "2"];
    let (code, _, err) = gateway.run(&train);
    assert!(code == 5 && err.contains("0 of 0 profiles can be learnt from"), "{code} {err}");
    let (code, _, err) = gateway.run(&["models", "train", "m", "--kind", "kmeans", "--features", "visits"]);
    assert!(code == 5 && err.contains("/k: missing"), "{code} {err}");
    let (code, _, err) = gateway.run(&["models", "get", "none"]);
    assert!(code == 3 && err.contains("Model not found"), "{code} {err}");
    let file = gateway.file("wrong.json", br#"{"kind": "forest"}"#);
    let (code, _, err) = gateway.run(&["models", "put", "m", &file]);
    assert!(code == 5 && err.contains("/kind: expected one of kmeans, logistic, onnx"), "{code} {err}");
}

/// The bytes of a stored network; tests/data/models/make.py made it.
fn network(name: &str) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let all: Value = serde_json::from_str(include_str!("data/models/onnx.json")).unwrap();
    STANDARD.decode(all[name]["document"]["onnx"].as_str().or(all[name]["onnx"].as_str()).unwrap()).unwrap()
}

#[test]
fn a_network_is_put_as_it_was_exported() {
    let gateway = Gateway::start();
    let file = gateway.file("churn.onnx", &network("linear"));
    let columns = "visits_per_week,average_basket,days_since_visit,plan,mobile";
    let put = ["models", "put", "net", &file, "--feature-columns", columns, "--name", "Churn"];
    let (code, out, err) = gateway.run(&put);
    if !cfg!(feature = "onnx") {
        assert!(code == 5 && err.contains("/kind: this flaggate was built without ONNX"), "{code} {err}");
        return;
    }
    assert_eq!((code, out.as_str()), (0, "net is at revision 1\n"), "{err}");
    assert_eq!((&gateway.model("net")["kind"], &gateway.model("net")["name"]), (&json!("onnx"), &json!("Churn")));
    let shown = gateway.said(&["models", "get", "net"]);
    assert!(shown.contains("characters; --json prints them"), "{shown}");
    let file = gateway.file("svm.onnx", &network("unsupported"));
    let (code, _, err) = gateway.run(&["models", "put", "svm", &file, "--features", columns]);
    assert!(code == 5 && err.contains("/onnx: operators that are not supported: SVMClassifier"), "{code} {err}");
}
