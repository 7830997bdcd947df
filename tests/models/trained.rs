//! KMeans and logistic regression against scikit-learn.

use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

use flaggate::{
    model::{ModelDocument, Profile},
    predict::{Prediction, Predictor},
    train::{Request, Sample, train},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::people::{COLUMNS, person, user_id};

const PEOPLE: u64 = 20_000;

static EVERYONE: LazyLock<Vec<Profile>> = LazyLock::new(|| (0..PEOPLE).map(person).collect());

pub(crate) fn stored(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn trained_on(everyone: impl Iterator<Item = u64>, request: &Value) -> Result<Map<String, Value>, String> {
    let request = Request::parse(request.as_object().unwrap()).map_err(|faults| format!("{faults:?}"))?;
    let mut sample = Sample::new(&request);
    for number in everyone {
        let profile = &EVERYONE[number as usize];
        sample.offer(&user_id(number), &|name| profile.attribute(name));
    }
    train("model", &request, &sample, Timestamp::UNIX_EPOCH, None, &mut |_| {}).map_err(|faults| format!("{faults:?}"))
}

fn compiled(document: &Value) -> Predictor {
    Predictor::compile(&ModelDocument::parse(&document.to_string()).unwrap()).unwrap()
}

fn says(model: &Predictor) -> impl Iterator<Item = Prediction> {
    EVERYONE.iter().map(|profile| model.predict(&|name| profile.attribute(name)))
}

fn probabilities(model: &Predictor) -> Vec<f64> {
    let probability = |said| match said {
        Prediction::Probability(probability) => probability,
        Prediction::Cluster(_) => panic!("a cluster"),
    };
    says(model).map(probability).collect()
}

fn clusters(model: &Predictor) -> Vec<u32> {
    let cluster = |said| match said {
        Prediction::Cluster(cluster) => cluster,
        Prediction::Probability(_) => panic!("a probability"),
    };
    says(model).map(cluster).collect()
}

fn groups() -> Value {
    json!({"kind": "kmeans", "feature_columns": COLUMNS[..3], "k": 4, "seed": 7})
}

fn churn() -> Value {
    json!({"kind": "logistic", "feature_columns": COLUMNS, "label": "left", "seed": 7,
        "encodings": {"plan": {"free": 0, "basic": 1, "pro": 2}}})
}

/// The greatest difference between what is said and what scikit-learn says.
fn apart(said: &[f64], theirs: &Value) -> f64 {
    let theirs = theirs["probabilities"].as_array().unwrap();
    assert_eq!(said.len(), theirs.len());
    said.iter().zip(theirs).map(|(said, theirs)| (said - theirs.as_f64().unwrap() / 1e9).abs()).fold(0.0, f64::max)
}

#[test]
fn scikit_learns_models_say_here_what_they_say_there() {
    let theirs = stored("churn.json");
    let apart = apart(&probabilities(&compiled(&theirs["document"])), &theirs);
    assert!(apart <= 1e-9, "the probabilities are {apart} apart");
    let theirs = stored("groups.json");
    let said: String = clusters(&compiled(&theirs["document"])).iter().map(u32::to_string).collect();
    assert_eq!(said, theirs["labels"].as_str().unwrap());
}

#[test]
fn a_logistic_model_learns_what_scikit_learn_learns() {
    let theirs = stored("churn.json");
    let ours = Value::Object(trained_on(0..PEOPLE, &churn()).unwrap());
    let apart = apart(&probabilities(&compiled(&ours)), &theirs);
    assert!(apart <= 1e-6, "the probabilities are {apart} apart");
    for (name, within) in [("auc", 1e-6), ("accuracy", 1e-3)] {
        let (ours, theirs) = (ours["report"][name].as_f64().unwrap(), theirs[name].as_f64().unwrap());
        assert!((ours - theirs).abs() <= within, "{name}: {ours}, not {theirs}");
    }
    let report = &ours["report"];
    assert_eq!(
        (&report["rows"], &report["held_back"], &report["seen"]),
        (&json!(16_000), &json!(4_000), &json!(PEOPLE))
    );
    let lacking = EVERYONE.iter().filter(|profile| profile.attribute("plan").is_none()).count();
    assert_eq!(report["missing"]["plan"], json!(lacking));
}

#[test]
fn kmeans_finds_the_clusters_that_scikit_learn_finds() {
    let theirs = stored("groups.json");
    let ours = Value::Object(trained_on(0..PEOPLE, &groups()).unwrap());
    let said = clusters(&compiled(&ours));
    let labels = theirs["labels"].as_str().unwrap().bytes().map(|label| u32::from(label - b'0'));
    let pairs: BTreeSet<(u32, u32)> = said.iter().copied().zip(labels).collect();
    assert_eq!(pairs.len(), 4, "the labels differ by more than their numbers: {pairs:?}");
    let inertia = ours["report"]["inertia"].as_f64().unwrap();
    assert!((inertia / theirs["inertia"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{inertia}");
    // The first cluster is the largest, and the report counts everyone.
    let sizes: Vec<u64> = ours["report"]["cluster_sizes"].as_array().unwrap().iter().flat_map(Value::as_u64).collect();
    let counted: Vec<u64> = (0..4).map(|cluster| said.iter().filter(|said| **said == cluster).count() as u64).collect();
    assert_eq!(sizes, counted);
    assert!(sizes.is_sorted_by(|left, right| left >= right), "{sizes:?}");
}

#[test]
fn the_same_profiles_give_the_same_model_in_any_order() {
    for request in [groups(), churn()] {
        let mut request = request;
        request["sample"] = json!(500);
        let first = trained_on(0..PEOPLE, &request).unwrap();
        // Backwards, and some twice, as a store that is being written to hands them out.
        assert_eq!(first["scaler"], trained_on((0..PEOPLE).rev().chain(0..100), &request).unwrap()["scaler"]);
        let mut backwards = trained_on((0..PEOPLE).rev(), &request).unwrap();
        assert_eq!(first, backwards);
        request["seed"] = json!(8);
        backwards = trained_on(0..PEOPLE, &request).unwrap();
        assert_ne!(first["scaler"], backwards["scaler"]);
    }
}
