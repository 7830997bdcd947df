//! Segments on the live feed.

use flaggate::{
    admin::LiveLimits,
    clock,
    model::DocumentKey,
    store::{Expected, Store, Write},
};
use serde_json::{Value, json};

use crate::harness::{PATIENCE, Served, serve};

async fn put(served: &Served, document: DocumentKey, text: Option<String>) {
    let text = text.map(Into::into);
    let actor = "test".to_owned();
    let write = Write { document, text, expected: Expected::Any, actor, at: clock::now(), fence: None };
    let written = served.store.write(write).await.unwrap();
    assert!(served.sync.applied(&written.world, PATIENCE).await);
}

async fn segment(served: &Served, id: &str, priority: i64) {
    let text = json!({ "id": id, "name": id, "priority": priority, "updated_at": "2026-01-02T03:04:05Z" }).to_string();
    put(served, DocumentKey::segment(id), Some(text)).await;
}

fn item(id: &str, priority: i64) -> Value {
    json!({ "id": id, "type": "rule_based", "priority": priority, "updated_at": "2026-01-02T03:04:05Z" })
}

#[tokio::test]
async fn a_snapshot_of_segments_and_then_their_changes() {
    let served = serve(LiveLimits::default()).await;
    segment(&served, "low", 1).await;
    segment(&served, "high", 9).await;
    served.put("low", 10).await;
    let mut socket = served.connect().await;
    socket.say(r#"{"subscribe": ["segments"]}"#).await;
    let told = socket.hear().await;
    assert_eq!((&told["type"], &told["kind"]), (&json!("snapshot"), &json!("segments")));
    assert_eq!(told["segments"], json!([item("high", 9), item("low", 1)]));
    served.put("low", 20).await;
    segment(&served, "low", 2).await;
    let told = socket.hear().await;
    let about = |told: &Value| ["type", "segment_id", "action"].map(|name| told[name].as_str().unwrap().to_owned());
    assert_eq!(about(&told), ["segment_update", "low", "updated"], "the flag of that name is not meant");
    assert!(told["revision"].is_string() && told["timestamp"].is_string(), "{told}");
    put(&served, DocumentKey::segment("high"), None).await;
    assert_eq!(about(&socket.hear().await), ["segment_update", "high", "deleted"]);

    socket.say(r#"{"subscribe": ["segments"], "keys": ["low", "nobody"]}"#).await;
    assert_eq!(socket.hear().await["segments"], json!([item("low", 2)]));
    segment(&served, "other", 1).await;
    segment(&served, "nobody", 1).await;
    assert_eq!(about(&socket.hear().await), ["segment_update", "nobody", "created"]);
}

#[tokio::test]
async fn kill_switches_are_a_kind_of_their_own() {
    let served = serve(LiveLimits::default()).await;
    let switch = |status: Value| Some(json!({ "id": "k", "affected_features": ["a"], "status": status }).to_string());
    let recovery = json!({ "step": 0, "percentage": 25, "since": "2026-01-02T03:04:05Z" });
    let recovering = json!({ "state": "recovering", "since": "2026-01-02T03:04:05Z", "recovery": recovery });
    put(&served, DocumentKey::kill_switch("k"), switch(recovering)).await;
    let mut socket = served.connect().await;
    socket.say(r#"{"subscribe": ["kill_switches"]}"#).await;
    let item = json!({ "id": "k", "scope": "feature", "state": "recovering", "since": "2026-01-02T03:04:05Z",
        "percentage": 25.0, "updated_at": null });
    assert_eq!(socket.hear().await["kill_switches"], json!([item]));
    put(&served, DocumentKey::kill_switch("k"), switch(json!({ "state": "triggered" }))).await;
    let told = socket.hear().await;
    let about = ["type", "kill_switch_id", "action"].map(|name| told[name].as_str().unwrap());
    assert_eq!(about, ["kill_switch_update", "k", "updated"]);
}

#[tokio::test]
async fn models_are_a_kind_of_their_own() {
    let served = serve(LiveLimits::default()).await;
    let model = |trained_at: &str| {
        let model = json!({ "id": "churn", "kind": "logistic", "feature_columns": ["visits"], "coefficients": [1.0],
            "scaler": { "mean": [0.0], "scale": [1.0] }, "intercept": 0.0, "trained_at": trained_at });
        Some(model.to_string())
    };
    put(&served, DocumentKey::model("churn"), model("2026-01-02T03:04:05Z")).await;
    let mut socket = served.connect().await;
    socket.say(r#"{"subscribe": ["models"]}"#).await;
    let item = json!({ "id": "churn", "kind": "logistic", "trained_at": "2026-01-02T03:04:05Z" });
    assert_eq!(socket.hear().await["models"], json!([item]));
    segment(&served, "churn", 1).await;
    put(&served, DocumentKey::model("churn"), model("2026-01-03T03:04:05Z")).await;
    let told = socket.hear().await;
    let about = ["type", "model_id", "action"].map(|name| told[name].as_str().unwrap());
    assert_eq!(about, ["model_update", "churn", "updated"], "{told}");
}

#[tokio::test]
async fn who_never_subscribed_hears_of_flags_only() {
    let served = serve(LiveLimits::default()).await;
    let mut plain = served.connect().await;
    segment(&served, "s", 1).await;
    served.put("a", 1).await;
    assert_eq!(plain.update().await, ("a".to_owned(), "created".to_owned()));
}

#[tokio::test]
async fn a_segment_and_a_flag_of_one_name_are_two() {
    let served = serve(LiveLimits { queue: 64, ..LiveLimits::default() }).await;
    let mut response =
        served.http.get(format!("http://{}/events?subscribe=segments,flags", served.address)).send().await.unwrap();
    segment(&served, "same", 1).await;
    served.put("same", 1).await;
    let mut text = String::new();
    while !(text.contains("event: segment_update") && text.contains("event: flag_update")) {
        let chunk = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("both come").unwrap();
        text += std::str::from_utf8(&chunk.expect("the stream goes on")).unwrap();
    }
    assert!(text.contains(r#""segments":[]"#) && text.contains(r#""flags":[]"#), "{text}");
    assert!(text.contains(r#""segment_id":"same""#) && text.contains(r#""flag_key":"same""#), "{text}");
}
