//! Models exported by skl2onnx against onnxruntime, on 1 000 people.

use flaggate::{
    model::{ModelDocument, Profile},
    predict::{Kind, Prediction, Predictor},
};
use serde_json::{Value, json};

use crate::{people::person, trained::stored};

fn compiled(document: &Value) -> Result<Predictor, Vec<(String, String)>> {
    let document = ModelDocument::parse(&document.to_string()).unwrap();
    Predictor::compile(&document)
        .map_err(|faults| faults.into_iter().map(|fault| (fault.pointer, fault.message)).collect())
}

fn asked(model: &Predictor, profile: &Profile) -> Prediction {
    model.predict(&|name| profile.attribute(name))
}

#[test]
fn tract_says_what_onnxruntime_says() {
    let all = stored("onnx.json");
    for name in ["linear", "imputed", "boosted", "forest"] {
        let model = compiled(&all[name]["document"]).unwrap();
        assert_eq!((model.kind(), model.clusters()), (Kind::Probability, None), "{name}");
        let theirs = all[name]["said"].as_array().unwrap();
        assert_eq!(theirs.len(), 1000);
        let mut worst: f64 = 0.0;
        for (number, theirs) in (0..).zip(theirs) {
            let Prediction::Probability(ours) = asked(&model, &person(number)) else { panic!("{name}: a cluster") };
            worst = worst.max((ours - theirs.as_f64().unwrap()).abs());
        }
        assert!(worst <= 1e-6, "{name}: {worst} apart");
    }
    let groups = compiled(&all["groups"]["document"]).unwrap();
    assert_eq!(groups.kind(), Kind::Clusters);
    let theirs: Vec<u64> = all["groups"]["said"].as_array().unwrap().iter().flat_map(Value::as_u64).collect();
    let ours: Vec<u64> = (0..1000)
        .map(|number| match asked(&groups, &person(number)) {
            Prediction::Cluster(cluster) => u64::from(cluster),
            Prediction::Probability(_) => panic!("a probability"),
        })
        .collect();
    assert_eq!(ours, theirs);
}

#[test]
fn what_cannot_run_is_refused_with_the_reason() {
    let all = stored("onnx.json");
    let linear = |fields: Value| {
        let mut document = all["linear"]["document"].clone();
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        document
    };
    for (document, pointer, message) in [
        (all["unsupported"].clone(), "/onnx", "operators that are not supported: SVMClassifier"),
        (all["elsewhere"].clone(), "/onnx", "the model keeps numbers in other files"),
        (linear(json!({"onnx": null})), "/onnx", "missing"),
        (linear(json!({"onnx": "%"})), "/onnx", "expected the model's bytes in base64"),
        (linear(json!({"onnx": "bm90IGEgbW9kZWw="})), "/onnx", "not ONNX"),
        (linear(json!({"onnx": ""})), "/onnx", "the model has no graph"),
        (linear(json!({"output": "nothing"})), "/output", "there is no output \"nothing\""),
        (linear(json!({"class": 2})), "/class", "there is no probability 2"),
        (linear(json!({"class": 0.5})), "/class", "there is no probability 0.5"),
        (
            linear(json!({"feature_columns": ["plan"], "scaler": null})),
            "/feature_columns",
            "the model takes 5 features",
        ),
        (
            linear(json!({"scaler": {"mean": [1, 2, 3, 4, 5], "scale": [1, 1, 1, 1, 1]}})),
            "/scaler/scale",
            "an ONNX model",
        ),
    ] {
        let faults = compiled(&document).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].0 == pointer && faults[0].1.starts_with(message), "{faults:?}");
    }
    let mut forest = all["forest"]["document"].clone();
    forest["scaler"] = Value::Null;
    assert_eq!(compiled(&forest).unwrap_err()[0].0, "/scaler/mean");
    assert!(compiled(&linear(json!({"scaler": null}))).is_ok(), "the graph's own scaler says the means");
}

#[test]
fn broken_bytes_are_refused_and_nothing_else_happens() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let all = stored("onnx.json");
    let mut document = all["boosted"]["document"].clone();
    let bytes = STANDARD.decode(document["onnx"].as_str().unwrap()).unwrap();
    for position in (0..bytes.len()).step_by(23) {
        let mut broken = bytes.clone();
        broken[position] ^= 0x55;
        document["onnx"] = json!(STANDARD.encode(&broken));
        // Some are as good as before; none ends the process.
        if let Ok(model) = compiled(&document) {
            asked(&model, &person(1));
        }
        if position % 50 == 0 {
            document["onnx"] = json!(STANDARD.encode(&bytes[..position]));
            drop(compiled(&document));
        }
    }
}
