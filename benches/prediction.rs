//! What asking a trained model costs.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use flaggate::{
    model::{Attributes as _, ModelDocument},
    predict::Predictor,
};
use serde_json::{Map, Value, json};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FEATURES: usize = 20;

/// A model of 20 features, of which one has an encoding.
fn model(fields: Value) -> Predictor {
    let columns: Vec<String> = (0..FEATURES).map(|number| format!("feature_{number}")).collect();
    let mut document = json!({"id": "model", "feature_columns": columns, "encodings": {"feature_7": {"DE": 1, "FR": 2}},
        "scaler": {"mean": vec![0.5; FEATURES], "scale": vec![2.0; FEATURES]}});
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Predictor::compile(&ModelDocument::parse(&document.to_string()).unwrap()).unwrap()
}

fn ask(criterion: &mut Criterion) {
    let attributes: Map<String, Value> = (0..FEATURES)
        .map(|number| (format!("feature_{number}"), if number == 7 { json!("DE") } else { json!(number) }))
        .collect();
    let logistic = model(json!({"kind": "logistic", "coefficients": vec![0.1; FEATURES], "intercept": -0.3}));
    let centroids: Vec<Vec<f64>> = (0..8).map(|row| vec![f64::from(row); FEATURES]).collect();
    let kmeans = model(json!({"kind": "kmeans", "centroids": centroids}));
    for (name, predictor) in [("logistic, 20 features", logistic), ("kmeans, 20 features, 8 clusters", kmeans)] {
        criterion.bench_function(name, |bench| {
            bench.iter(|| predictor.predict(&|name| black_box(&attributes).attribute(name)))
        });
    }
}

criterion_group!(benches, ask);
criterion_main!(benches);
