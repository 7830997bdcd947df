//! `/models`: written, trained, asked, rolled back.

use std::sync::Arc;

use flaggate::{
    clock,
    model::{DocumentKey, Profile},
    store::{Expected, MemoryProfiles, ProfileStore as _, Store as _, Write},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Served, serve, serve_profiles};

fn churn() -> Value {
    json!({"kind": "logistic", "feature_columns": ["visits"], "scaler": {"mean": [10.0], "scale": [2.0]},
        "coefficients": [-1.0], "intercept": 0.0})
}

impl Served {
    async fn replace(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::PUT, path, Some(body)).await
    }

    /// Stores a document that has no endpoint here.
    async fn store_segment(&self, segment: Value) {
        let document = DocumentKey::segment(segment["id"].as_str().unwrap());
        let text = Some(segment.to_string().into());
        let write =
            Write { document, text, expected: Expected::Any, actor: "test".into(), at: clock::now(), fence: None };
        self.store.write(write).await.unwrap();
        // A write through the listener is served before it answers, and what came before it too.
        self.replace("/models/awaited", churn()).await;
    }

    /// The lines of an answer to a training.
    async fn train(&self, id: &str, request: &Value) -> Vec<Value> {
        let below = if id.contains('/') { "" } else { "/train" };
        let url = format!("http://{}/models/{id}{below}", self.address);
        let answer = self.client.post(url).json(request).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
        answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Served with so many profiles: two groups, of whom those who seldom come are leaving.
async fn with_profiles(count: u32) -> Served {
    let profiles = Arc::new(MemoryProfiles::new());
    let all: Vec<(String, Profile)> = (0..count)
        .map(|number| {
            let visits = if number % 3 == 0 { 100 + number % 10 } else { number % 10 };
            let attributes = json!({"plan": if number % 2 == 0 { "pro" } else { "free" }, "left": number % 3 != 0});
            let behavioral_data = json!({"visits": visits, "noise": number % 7});
            let map = |value: Value| value.as_object().unwrap().clone();
            let profile =
                Profile { attributes: map(attributes), behavioral_data: map(behavioral_data), activity: None };
            (format!("user-{number}"), profile)
        })
        .collect();
    assert!(profiles.put_profiles(&all, clock::now()).await.unwrap().is_empty());
    serve_profiles(profiles).await
}

#[tokio::test]
async fn the_life_of_a_model() {
    let served = serve().await;
    assert_eq!(served.get("/models").await, (200, json!({"models": []})));
    assert_eq!(served.get("/models/churn").await.0, 404);
    let created = served.replace("/models/churn", churn()).await;
    assert_eq!(created, (201, json!({"success": true, "model_id": "churn"})));
    let (status, document) = served.get("/models/churn").await;
    assert_eq!((status, &document["id"], &document["coefficients"]), (200, &json!("churn"), &json!([-1.0])));
    let asked = served.post("/models/churn/predict", json!({"attributes": {"visits": 10}})).await;
    let expected = json!({"id": "churn", "kind": "probability", "probability": 0.5, "features": {"visits": 10.0}});
    assert_eq!(asked, (200, expected));
    let mut other = document.clone();
    other["intercept"] = json!(100.0);
    assert_eq!(served.replace("/models/churn", other).await.0, 200);
    let (_, asked) = served.post("/models/churn/predict", json!({})).await;
    assert!(asked["probability"].as_f64().unwrap() > 0.999 && asked["features"]["visits"].is_null(), "{asked}");
    let (_, listed) = served.get("/models").await;
    let model = &listed["models"][0];
    assert_eq!((&model["revision"], &model["serving"], &model["segments"]), (&json!(2), &json!(true), &json!([])));
    assert!(model.get("coefficients").is_none());
    let (_, history) = served.get("/models/churn/history").await;
    assert_eq!(history["entries"][0]["changes"][0]["pointer"], "/intercept", "{history}");
    assert_eq!(history["entries"][0]["kind"], "ml_model");
    let rolled = served.post("/models/churn/rollback", json!({"revision": 1})).await;
    assert_eq!(rolled, (200, json!({"success": true, "model_id": "churn"})));
    let (_, again) = served.get("/models/churn").await;
    assert_eq!((&again["intercept"], &again["created_at"]), (&document["intercept"], &document["created_at"]));
    let (_, listed) = served.get("/models").await;
    assert_eq!(listed["models"][0]["revision"], 3);
    assert_eq!(served.post("/models/churn/rollback", json!({"revision": 9})).await.0, 404);
    served.store_segment(json!({"id": "leaving", "type": "ml_based", "ml_model_id": "churn", "threshold": 0.5})).await;
    served.replace("/models/other", churn()).await;
    let (status, refused) = served.delete("/models/churn").await;
    assert!(status == 409 && refused["detail"].as_str().unwrap().contains("leaving"), "{refused}");
    assert_eq!(served.delete("/models/other").await, (200, json!({"success": true})));
    assert_eq!(served.delete("/models/other").await.0, 404);
    assert_eq!(served.post("/models/other/rollback", json!({"revision": 1})).await.0, 201);
}

#[tokio::test]
async fn conditions_count() {
    let served = serve().await;
    let put = |header: &'static str, value: String| {
        let url = format!("http://{}/models/churn", served.address);
        // Each is another one: what is as it was is not written.
        let mut model = churn();
        model["name"] = json!(value);
        served.client.put(url).header(header, value).json(&model).send()
    };
    let first = put("If-None-Match", "*".to_owned()).await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(first.status(), 201);
    assert_eq!(put("If-None-Match", "*".to_owned()).await.unwrap().status(), 412);
    assert_eq!(put("If-Match", tag.clone()).await.unwrap().status(), 200);
    assert_eq!(put("If-Match", tag).await.unwrap().status(), 412);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_the_place() {
    let served = serve().await;
    let with = |name: &str, value: Value| {
        let mut fields = churn();
        fields[name] = value;
        fields
    };
    for (path, body, pointer) in [
        ("/models/churn", with("kind", json!("forest")), "/kind"),
        ("/models/churn", with("coefficients", json!([1, 2])), "/coefficients"),
        ("/models/churn", with("id", json!("other")), "/id"),
        ("/models/a%20b", churn(), "/id"),
        ("/models/a%00b", churn(), "/id"),
    ] {
        let (status, refused) = served.replace(path, body).await;
        assert_eq!((status, &refused["errors"][0]["pointer"]), (422, &json!(pointer)), "{refused}");
    }
    for (body, pointer) in [
        (json!({"kind": "kmeans", "feature_columns": ["x"]}), "/k"),
        (json!({"kind": "logistic", "feature_columns": ["x"]}), "/label"),
        (json!({"kind": "kmeans", "feature_columns": ["x"], "k": 2, "surprise": 1}), "/surprise"),
    ] {
        let (status, refused) = served.post("/models/churn/train", body).await;
        assert_eq!((status, &refused["errors"][0]["pointer"]), (422, &json!(pointer)), "{refused}");
    }
    served.replace("/models/churn", churn()).await;
    for body in [json!({"user_id": 7}), json!({"user_id": "a\0"}), json!({"attributes": []}), json!({"users": []})] {
        assert_eq!(served.post("/models/churn/predict", body.clone()).await.0, 422, "{body}");
    }
    assert_eq!(served.post("/models/none/predict", json!({})).await.0, 404);
    let url = format!("http://{}/models/net", served.address);
    let upload = |query: &str, bytes: Vec<u8>| {
        served.client.put(format!("{url}{query}")).header("Content-Type", "application/octet-stream").body(bytes).send()
    };
    assert_eq!(upload("", vec![1]).await.unwrap().status(), 422);
    assert_eq!(upload("?feature_columns=a,b", vec![0; 717_000]).await.unwrap().status(), 413);
    let refused: Value = upload("?feature_columns=a,b&mean=1,2", vec![1]).await.unwrap().json().await.unwrap();
    let pointer = if cfg!(feature = "onnx") { "/onnx" } else { "/kind" };
    assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
}

#[tokio::test]
async fn a_model_is_trained_on_stored_profiles_and_its_segment_switches_at_once() {
    let served = with_profiles(600).await;
    served.replace("/models/churn", churn()).await;
    served.store_segment(json!({"id": "leaving", "type": "ml_based", "ml_model_id": "churn", "threshold": 0.9})).await;
    let flag = json!({"key": "offer", "name": "Offer", "default_value": false, "targeting_enabled": true, "targeting_rules": [
        {"attribute": "segment", "operator": "equals", "value": "leaving", "return_value": true}]});
    let (status, answer) = served.post("/flags", flag).await;
    assert_eq!(status, 200, "{answer}");
    let offered = async |visits: i64| {
        let body = json!({"user_id": "somebody", "attributes": {"visits": visits}});
        served.post("/flags/offer/evaluate", body).await.1["value"].clone()
    };
    assert_eq!(offered(8).await, false, "revision 1 says 0.73");
    let request = json!({"kind": "logistic", "feature_columns": ["visits", "plan"], "label": "left", "seed": 3,
        "encodings": {"plan": {"free": 0, "pro": 1}}});
    let lines = served.train("churn", &request).await;
    let (end, before) = lines.split_last().unwrap();
    assert!(before.iter().any(|line| line["step"] == "reading" && line["done"] == 600), "{before:?}");
    assert_eq!((&end["complete"], &end["revision"]), (&json!(true), &json!(2)), "{end}");
    assert_eq!((&end["report"]["rows"], &end["report"]["auc"]), (&json!(480), &json!(1.0)));
    assert_eq!(offered(8).await, true, "revision 2 is served");
    let (_, stored) = served.get("/models/churn").await;
    assert_eq!((&stored["label"], &stored["report"]), (&json!("left"), &end["report"]));
    // The profile says what the request does not.
    let (_, asked) = served.post("/models/churn/predict", json!({"user_id": "user-3"})).await;
    assert_eq!(asked["features"], json!({"visits": 103.0, "plan": 0.0}));
    assert_eq!(served.post("/models/churn/rollback", json!({"revision": 1})).await.0, 200);
    assert_eq!(offered(8).await, false, "revision 1 is back");
}

#[tokio::test]
async fn a_training_that_cannot_be_says_why_and_writes_nothing() {
    let served = with_profiles(20).await;
    for (request, pointer) in [
        (json!({"kind": "kmeans", "feature_columns": ["nothing"], "k": 2}), ""),
        (json!({"kind": "kmeans", "feature_columns": ["visits", "plan"], "k": 2}), "/feature_columns/1"),
        (json!({"kind": "kmeans", "feature_columns": ["visits"], "k": 20}), "/k"),
        (json!({"kind": "logistic", "feature_columns": ["visits"], "label": "plan"}), ""),
    ] {
        let lines = served.train("model", &request).await;
        let end = lines.last().unwrap();
        assert_eq!((&end["complete"], &end["errors"][0]["pointer"]), (&json!(false), &json!(pointer)), "{end}");
    }
    assert_eq!(served.get("/models/model").await.0, 404);
    // One that would do is not written either, if it is only tried.
    let request = json!({"kind": "kmeans", "feature_columns": ["visits"], "k": 2});
    let lines = served.train("model/train?dry_run=true", &request).await;
    assert_eq!(lines.last().unwrap()["dry_run"], true, "{lines:?}");
    assert_eq!(served.get("/models/model").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_model_is_trained_at_a_time() {
    let served = with_profiles(3000).await;
    let slow = json!({"kind": "kmeans", "feature_columns": ["visits", "noise"], "k": 9, "restarts": 40});
    let url = format!("http://{}/models/slow/train", served.address);
    let mut running = served.client.post(url).json(&slow).send().await.unwrap();
    // The first line says that it runs.
    assert!(running.chunk().await.unwrap().is_some());
    let quick = json!({"kind": "kmeans", "feature_columns": ["visits"], "k": 2});
    assert_eq!(served.post("/models/quick/train", quick.clone()).await.0, 409);
    let mut rest = Vec::new();
    while let Some(chunk) = running.chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }
    assert!(String::from_utf8(rest).unwrap().contains("\"complete\":true"));
    assert_eq!(served.train("quick", &quick).await.last().unwrap()["complete"], true);
}
