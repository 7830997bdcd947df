use serde_json::{Map, Value, json};

use super::*;
use crate::model::{Attributes as _, ModelDocument};
use crate::predict::{Prediction, Predictor};

fn request(fields: &Value) -> Result<Request, Vec<String>> {
    Request::parse(fields.as_object().unwrap())
        .map_err(|faults| faults.into_iter().map(|fault| fault.pointer).collect())
}

/// Trains on profiles with the ids 0, 1, 2, …
fn trained(
    fields: &Value,
    profiles: &[Value],
    previous: Option<&[Vec<f64>]>,
) -> Result<Map<String, Value>, Vec<Fault>> {
    let request = request(fields).unwrap();
    let mut sample = Sample::new(&request);
    for (number, profile) in profiles.iter().enumerate() {
        let attributes: &Map<String, Value> = profile.as_object().unwrap();
        sample.offer(&number.to_string(), &|name| attributes.attribute(name));
    }
    train("m", &request, &sample, Timestamp::UNIX_EPOCH, previous, &mut |_| {})
}

fn two_groups() -> Vec<Value> {
    let spread = |number: i32| f64::from(number % 7) / 10.0;
    let low = (0..60).map(|number| json!({"x": spread(number), "y": 5}));
    low.chain((0..40).map(|number| json!({"x": 100.0 + spread(number), "y": 5}))).collect()
}

#[test]
fn requests_are_refused_with_the_place() {
    let kmeans = || json!({"kind": "kmeans", "feature_columns": ["x"], "k": 2});
    let logistic = || json!({"kind": "logistic", "feature_columns": ["x"], "label": "y"});
    let with = |mut fields: Value, name: &str, value: Value| {
        fields[name] = value;
        fields
    };
    assert!(request(&kmeans()).is_ok() && request(&logistic()).is_ok());
    for (fields, pointers) in [
        (json!({}), vec!["/feature_columns", "/kind"]),
        (with(kmeans(), "kind", json!("onnx")), vec!["/kind"]),
        (with(kmeans(), "clusters", json!(3)), vec!["/clusters"]),
        (with(kmeans(), "feature_columns", json!("x")), vec!["/feature_columns"]),
        (with(kmeans(), "encodings", json!({"y": {"a": 1}})), vec!["/encodings/y"]),
        (with(kmeans(), "k", Value::Null), vec!["/k"]),
        (with(kmeans(), "k", json!(1)), vec!["/k"]),
        (with(kmeans(), "k", json!(2.5)), vec!["/k"]),
        (with(kmeans(), "k", json!(65)), vec!["/k"]),
        (with(kmeans(), "restarts", json!(0)), vec!["/restarts"]),
        (with(kmeans(), "sample", json!(100_001)), vec!["/sample"]),
        (with(kmeans(), "seed", json!(-1)), vec!["/seed"]),
        (with(kmeans(), "name", json!(7)), vec!["/name"]),
        (with(logistic(), "label", json!(7)), vec!["/label"]),
        (with(logistic(), "label", json!("x")), vec!["/label"]),
        (with(logistic(), "alpha", json!(-0.1)), vec!["/alpha"]),
        (with(logistic(), "alpha", json!("1")), vec!["/alpha"]),
    ] {
        assert_eq!(request(&fields).unwrap_err(), pointers, "{fields}");
    }
    let columns: Vec<String> = (0..256).map(|number| number.to_string()).collect();
    let large = json!({"kind": "kmeans", "feature_columns": columns, "k": 64, "sample": 100_000});
    assert_eq!(request(&large).unwrap_err(), ["/sample"]);
}

#[test]
fn the_document_is_whole() {
    let fields = json!({"kind": "kmeans", "feature_columns": ["x", "y"], "k": 2, "name": "Two", "seed": 3,
        "encodings": {"y": {"five": 5}}});
    let document = trained(&fields, &two_groups(), None).unwrap();
    let names: Vec<&str> = document.keys().map(String::as_str).collect();
    let wanted = [
        "id",
        "name",
        "kind",
        "feature_columns",
        "encodings",
        "scaler",
        "centroids",
        "trained_at",
        "training",
        "report",
    ];
    assert_eq!(names, wanted);
    assert_eq!(document["training"], json!({"sample": 20_000, "seed": 3, "k": 2, "restarts": 10}));
    let report = &document["report"];
    assert_eq!(
        (&report["rows"], &report["held_back"], &report["cluster_sizes"]),
        (&json!(80), &json!(20), &json!([60, 40]))
    );
    // A feature that never varies has the deviation 1.
    assert_eq!((&document["scaler"]["mean"][1], &document["scaler"]["scale"][1]), (&json!(5.0), &json!(1.0)));
    let model = Predictor::compile(&ModelDocument::from_map(document).unwrap()).unwrap();
    let far = |_: &str| Some(crate::model::Attribute::Integer(99));
    assert_eq!(model.predict(&far), Prediction::Cluster(1));
}

#[test]
fn a_cluster_keeps_its_number_when_the_model_is_trained_again() {
    let fields = json!({"kind": "kmeans", "feature_columns": ["x", "y"], "k": 2});
    let middles = |previous: Option<&[Vec<f64>]>| {
        let document = trained(&fields, &two_groups(), previous).unwrap();
        let model = Predictor::compile(&ModelDocument::from_map(document).unwrap()).unwrap();
        model.centres().unwrap().iter().map(|centre| centre[0].round()).collect::<Vec<_>>()
    };
    assert_eq!(middles(None), [0.0, 100.0]);
    assert_eq!(middles(Some(&[vec![80.0, 4.0], vec![20.0, 4.0]])), [100.0, 0.0]);
    // Clusters of another kind of model, or of another number, do not count.
    assert_eq!(middles(Some(&[vec![80.0, 4.0], vec![20.0, 4.0], vec![0.0, 0.0]])), [0.0, 100.0]);
    assert_eq!(middles(Some(&[vec![80.0], vec![20.0]])), [0.0, 100.0]);
}

#[test]
fn what_cannot_be_learnt_from_is_left_out_and_counted() {
    let mut profiles: Vec<Value> = (0..100).map(|number| json!({"x": number, "y": number >= 50})).collect();
    profiles.extend([json!({"y": true}), json!({"x": "many", "y": true}), json!({"x": 1e200, "y": true})]);
    profiles.extend([json!({"x": 1}), json!({"x": 1, "y": null})]);
    profiles.extend([json!({"x": 1, "y": "yes"}), json!({"x": 1, "y": 2})]);
    profiles.extend([json!({"x": 60, "y": 1}), json!({"x": "10", "y": "0"})]);
    let fields = json!({"kind": "logistic", "feature_columns": ["x", "z"], "label": "y"});
    let faults = trained(&fields, &profiles, None).unwrap_err();
    assert_eq!((faults.len(), faults[0].pointer.as_str()), (1, "/feature_columns/1"), "no profile has a z");
    profiles[7]["z"] = json!(1);
    let report = trained(&fields, &profiles, None).unwrap()["report"].clone();
    assert_eq!(report["left_out"], json!({"no_features": 3, "no_label": 2, "other_label": 2}));
    assert_eq!((&report["seen"], &report["rows"], &report["held_back"]), (&json!(109), &json!(82), &json!(20)));
    assert_eq!(report["missing"], json!({"x": 0, "z": 101}));
    assert_eq!(report["auc"], json!(1.0));
}

#[test]
fn a_sample_that_teaches_nothing_is_refused() {
    let few: Vec<Value> = (0..9).map(|number| json!({"x": number})).collect();
    let same: Vec<Value> = (0..50).map(|number| json!({"x": number % 2, "y": true})).collect();
    let kmeans = json!({"kind": "kmeans", "feature_columns": ["x"], "k": 3});
    for (fields, profiles, pointer) in [
        (&kmeans, &few, ""),
        (&kmeans, &Vec::new(), ""),
        (&kmeans, &same, "/k"), // two values do not make three clusters
        (&json!({"kind": "kmeans", "feature_columns": ["x"], "k": 50}), &same, "/k"),
        (&json!({"kind": "logistic", "feature_columns": ["x"], "label": "y"}), &same, "/label"),
    ] {
        let faults = trained(fields, profiles, None).unwrap_err();
        assert_eq!((faults.len(), faults[0].pointer.as_str()), (1, pointer), "{fields}: {faults:?}");
    }
}

#[test]
fn labels_that_are_told_apart_perfectly_give_finite_coefficients() {
    let profiles: Vec<Value> = (0..200).map(|number| json!({"x": number, "y": number >= 100})).collect();
    for alpha in [0.0, 1e-6, 1.0, 1e6] {
        let fields = json!({"kind": "logistic", "feature_columns": ["x"], "label": "y", "alpha": alpha});
        match trained(&fields, &profiles, None) {
            Ok(document) => assert!(Predictor::compile(&ModelDocument::from_map(document).unwrap()).is_ok(), "{alpha}"),
            Err(faults) => assert_eq!(faults[0].pointer, "/alpha", "{faults:?}"),
        }
    }
}
