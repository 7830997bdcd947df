//! Deployments on the live feed.

use flaggate::{
    admin::LiveLimits,
    clock,
    model::DocumentKey,
    store::{Expected, Store, Write},
};
use serde_json::json;

use crate::harness::{PATIENCE, Served, serve};

async fn put(served: &Served, state: &str) {
    let text = json!({ "id": "d", "version": "2", "stages": [], "updated_at": "2026-01-02T03:04:05Z", "status": {
        "state": state, "epoch": 3, "stages": [{ "name": "canary", "state": "in_progress" }] } });
    let write = Write {
        document: DocumentKey::deployment("d"),
        text: Some(text.to_string().into()),
        expected: Expected::Any,
        actor: "test".to_owned(),
        at: clock::now(),
        fence: None,
    };
    let written = served.store.write(write).await.unwrap();
    assert!(served.sync.applied(&written.world, PATIENCE).await);
}

#[tokio::test]
async fn a_snapshot_of_deployments_and_then_their_changes() {
    let served = serve(LiveLimits::default()).await;
    put(&served, "in_progress").await;
    let mut socket = served.connect().await;
    socket.say(r#"{"subscribe": ["deployments"]}"#).await;
    let told = socket.hear().await;
    assert_eq!((&told["type"], &told["kind"]), (&json!("snapshot"), &json!("deployments")));
    let item = json!({ "id": "d", "state": "in_progress", "epoch": 3, "version": "2", "stage": "canary", "updated_at": "2026-01-02T03:04:05Z" });
    assert_eq!(told["deployments"], json!([item]));
    put(&served, "paused").await;
    let told = socket.hear().await;
    assert_eq!(
        (&told["type"], &told["deployment_id"], &told["action"]),
        (&json!("deployment_update"), &json!("d"), &json!("updated"))
    );
}
