use serde_json::{Map, Value, json};

use super::*;
use crate::model::Attributes as _;

fn document(fields: Value) -> ModelDocument {
    ModelDocument::parse(&fields.to_string()).unwrap()
}

fn compiled(fields: Value) -> Predictor {
    Predictor::compile(&document(fields)).unwrap()
}

fn asked(predictor: &Predictor, attributes: Value) -> Prediction {
    let attributes: Map<String, Value> = attributes.as_object().unwrap().clone();
    predictor.predict(&|name| attributes.attribute(name))
}

fn churn() -> Value {
    json!({"id": "churn", "kind": "logistic", "feature_columns": ["visits", "plan"],
        "encodings": {"plan": {"free": 0, "pro": 1, "7": 3}},
        "scaler": {"mean": [10.0, 0.25], "scale": [2.0, 0.5]}, "coefficients": [-1.0, 2.0], "intercept": 0.5})
}

fn groups() -> Value {
    json!({"id": "groups", "kind": "kmeans", "feature_columns": ["x", "y"],
        "scaler": {"mean": [10, 20], "scale": [10, 10]}, "centroids": [[0, 0], [1, 1], [-1, 1]]})
}

#[test]
fn a_logistic_model_says_a_probability() {
    let churn = compiled(churn());
    assert_eq!((churn.kind(), churn.clusters()), (Kind::Probability, None));
    let sigmoid = |score: f64| 1.0 / (1.0 + (-score).exp());
    // The scores by hand: 0.5 - (visits - 10) / 2 + 2 (plan - 0.25) / 0.5.
    for (attributes, score) in [
        (json!({"visits": 10, "plan": "pro"}), 3.5),
        (json!({"visits": 14.0, "plan": "free"}), -2.5),
        (json!({"visits": "14", "plan": "free"}), -2.5),
        (json!({"visits": true, "plan": 0.25}), 5.0),
        (json!({"visits": false, "plan": "7"}), 16.5),
        // All that is missing or cannot be taken is the mean.
        (json!({}), 0.5),
        (json!({"visits": null, "plan": "other"}), 0.5),
        (json!({"visits": "many", "plan": ["pro"]}), 0.5),
        (json!({"visits": {"n": 14}, "plan": ""}), 0.5),
    ] {
        let Prediction::Probability(found) = asked(&churn, attributes.clone()) else { panic!("{attributes}") };
        assert!((found - sigmoid(score)).abs() < 1e-12, "{attributes}: {found}, not {}", sigmoid(score));
    }
}

#[test]
fn a_kmeans_model_says_the_nearest_cluster() {
    let groups = compiled(groups());
    assert_eq!((groups.kind(), groups.clusters()), (Kind::Clusters, Some(3)));
    for (attributes, cluster) in [
        (json!({}), 0),
        (json!({"x": 10, "y": 20}), 0),
        (json!({"x": 19, "y": 31}), 1),
        (json!({"x": 1, "y": 31}), 2),
        (json!({"y": 40}), 1), // as far from the third: the first of equals
    ] {
        assert_eq!(asked(&groups, attributes.clone()), Prediction::Cluster(cluster), "{attributes}");
    }
}

#[test]
fn what_is_said_is_finite() {
    let mut fields = churn();
    fields["scaler"]["scale"] = json!([1e-100, 1e-100]);
    fields["coefficients"] = json!([1e100, -1e100]);
    let churn = compiled(fields);
    for visits in [f64::MAX, 1e100, -1e100, f64::MIN_POSITIVE, 0.0] {
        for plan in [f64::MIN, 1e100, -1e100, 1.0] {
            let Prediction::Probability(found) = asked(&churn, json!({"visits": visits, "plan": plan})) else {
                panic!()
            };
            assert!((0.0..=1.0).contains(&found), "{found}");
        }
    }
    let infinite = |_: &str| Some(Attribute::Float(f64::INFINITY));
    assert_eq!(compiled(groups()).predict(&infinite), Prediction::Cluster(0));
    assert_eq!(asked(&compiled(groups()), json!({"x": 1e100, "y": 20})), Prediction::Cluster(0));
}

#[test]
fn faults_say_where() {
    let without = |mut fields: Value, name: &str| {
        fields.as_object_mut().unwrap().shift_remove(name);
        fields
    };
    let with = |mut fields: Value, pointer: &str, value: Value| {
        match fields.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => fields[pointer.trim_start_matches('/')] = value,
        }
        fields
    };
    for (fields, pointers) in [
        (json!({"id": "a"}), vec!["/feature_columns", "/kind"]),
        (with(churn(), "/kind", json!("forest")), vec!["/kind"]),
        (with(churn(), "/kind", json!(1)), vec!["/kind"]),
        (with(churn(), "/feature_columns", json!([])), vec!["/feature_columns"]),
        (with(churn(), "/feature_columns", json!(["plan", "plan"])), vec!["/feature_columns/1"]),
        (with(churn(), "/feature_columns", json!(["plan", 7])), vec!["/feature_columns/1"]),
        (with(churn(), "/encodings", json!({"a/b": {"x": 1}})), vec!["/encodings/a~1b"]),
        (with(churn(), "/encodings", json!({"plan": {"x": "1"}})), vec!["/encodings/plan/x"]),
        (with(churn(), "/encodings", json!({"plan": {}})), vec!["/encodings/plan"]),
        (with(churn(), "/encodings", json!([1])), vec!["/encodings"]),
        (with(churn(), "/encodings", Value::Null), vec![]),
        (without(churn(), "scaler"), vec!["/scaler/mean", "/scaler/scale"]),
        (with(churn(), "/scaler/mean", json!([1])), vec!["/scaler/mean"]),
        (with(churn(), "/scaler/scale", json!([1, 0])), vec!["/scaler/scale/1"]),
        (with(churn(), "/scaler/scale", json!([1, "2"])), vec!["/scaler/scale/1"]),
        (without(churn(), "coefficients"), vec!["/coefficients"]),
        (with(churn(), "/coefficients", json!([1, 1e101])), vec!["/coefficients/1"]),
        (without(churn(), "intercept"), vec!["/intercept"]),
        (without(groups(), "centroids"), vec!["/centroids"]),
        (with(groups(), "/centroids", json!([])), vec!["/centroids"]),
        (with(groups(), "/centroids", json!([[1, 2], [3], 4])), vec!["/centroids/1", "/centroids/2"]),
    ] {
        let faults = Predictor::compile(&document(fields.clone())).err().unwrap_or_default();
        let found: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{fields}: {faults:?}");
        assert!(faults.iter().all(|fault| fault.effect == Effect::Quarantined));
    }
}
