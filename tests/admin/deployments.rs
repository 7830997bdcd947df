//! Deployments as documents, and what they are told; no conductor runs here.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Served, serve};

fn rollout(id: &str, flag: &str, first: u32) -> Value {
    json!({ "id": id, "name": "A rollout", "version": "1", "stages": [
        { "name": "feature", "strategy": "feature_flag",
          "config": { "flag_key": flag, "rollout_stages": [{ "percentage": first, "duration": "1h" }, { "percentage": 100 }] },
          "gates": [{ "type": "manual", "required_approvers": ["product"] }] }] })
}

async fn shop() -> Served {
    let served = serve().await;
    for key in ["feature", "other"] {
        assert_eq!(served.post("/flags", json!({ "key": key, "name": key })).await.0, 200);
    }
    served
}

async fn state(served: &Served, id: &str) -> Value {
    served.get(&format!("/deployments/{id}")).await.1["status"]["state"].clone()
}

#[tokio::test]
async fn documents_are_written_and_nobody_writes_a_status() {
    let served = shop().await;
    let mut document = rollout("a", "feature", 5);
    document["status"] = json!({ "state": "completed", "epoch": 7 });
    assert_eq!(served.post("/deployments?dry_run=true", document.clone()).await.0, 200);
    let (status, answer) = served.post("/deployments", document.clone()).await;
    assert_eq!((status, answer), (201, json!({ "success": true, "deployment_id": "a" })));
    assert_eq!(served.post("/deployments", document.clone()).await.0, 409);
    let (_, shown) = served.get("/deployments/a").await;
    assert_eq!((&shown["status"]["state"], &shown["status"]["epoch"]), (&json!("pending"), &json!(0)), "{shown}");
    // What was read can be sent back, and changes nothing.
    let (status, _) = served.ask(Method::PUT, "/deployments/a", Some(shown)).await;
    assert_eq!(status, 200);
    let (_, all) = served.get("/deployments?state=pending").await;
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(served.get("/deployments?state=live").await.1, json!([]));
    assert_eq!(served.get("/deployments?state=lively").await.0, 422);
    assert_eq!(served.get("/deployments/b").await.0, 404);
    assert_eq!(served.delete("/deployments/a").await.0, 200);
    assert_eq!(served.get("/deployments/a").await.0, 404);
    assert_eq!(served.get("/deployments/a/history").await.1["entries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    let served = shop().await;
    let (status, problem) = served.post("/deployments", rollout("a", "featur", 5)).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/stages/0/config/flag_key")), "{problem}");
    assert!(problem["errors"][0]["message"].as_str().unwrap().contains("did you mean \"feature\"?"), "{problem}");
    for (body, pointer) in [
        (json!({ "id": "a", "name": "n" }), "/stages"),
        (json!({ "id": "a/b", "name": "n", "stages": [] }), "/id"),
        (json!({ "name": "n", "stages": [] }), "/id"),
        (json!({ "id": "a", "name": "n", "stages": [1] }), "/stages/0"),
        (rollout("a", "feature", 101), "/stages/0/config/rollout_stages/0/percentage"),
    ] {
        let (status, problem) = served.post("/deployments", body.clone()).await;
        let found = problem["errors"].as_array().unwrap().iter().any(|error| error["pointer"] == pointer);
        assert!(status == 422 && found, "{body}: {status} {problem}");
    }
    assert_eq!(served.post("/deployments", json!([1])).await.0, 422);
}

#[tokio::test]
async fn commands_change_the_status_and_say_what_they_cannot() {
    let served = shop().await;
    served.post("/deployments", rollout("a", "feature", 5)).await;
    served.post("/deployments", rollout("b", "feature", 5)).await;
    served.post("/deployments", rollout("c", "other", 5)).await;
    let tell = async |path: &str, body: Value| served.post(&format!("/deployments/{path}"), body).await;
    assert_eq!(tell("a/pause", Value::Null).await.0, 409);
    let (status, answer) = tell("a/start?dry_run=true", Value::Null).await;
    assert_eq!((status, &answer["state"], &answer["dry_run"]), (200, &json!("in_progress"), &json!(true)), "{answer}");
    assert_eq!(state(&served, "a").await, "pending");
    assert_eq!(tell("a/start", Value::Null).await.0, 200);
    assert_eq!(tell("a/start", Value::Null).await.0, 409);
    // The second that touches the same flag is refused, with the name of the first.
    let (status, problem) = tell("b/start", Value::Null).await;
    assert!(
        status == 409 && problem["detail"].as_str().unwrap().contains("\"a\" touches the flag \"feature\""),
        "{problem}"
    );
    assert_eq!(tell("c/start", Value::Null).await.0, 200);
    assert_eq!(tell("a/pause", json!({ "reason": "lunch" })).await.1["status"]["hold"]["reason"], "lunch");
    assert_eq!(tell("a/pause", json!({ "reson": "lunch" })).await.0, 422);
    assert_eq!(tell("a/resume", Value::Null).await.0, 200);
    assert_eq!(tell("a/approve", json!({ "approver": "sales" })).await.0, 409);
    assert_eq!(tell("a/approve", json!({ "approver": "product" })).await.0, 200);
    assert_eq!(served.delete("/deployments/a").await.0, 409);
    // A flag that is gone does not keep anybody from aborting.
    assert_eq!(served.delete("/flags/feature").await.0, 200);
    assert_eq!(tell("a/abort", json!({ "reason": "no" })).await.0, 200);
    assert_eq!(state(&served, "a").await, "rolling_back");
    assert_eq!(tell("a/promote", Value::Null).await.0, 409);
    assert_eq!(tell("nowhere/abort", Value::Null).await.0, 404);
}

#[tokio::test]
async fn another_version_takes_the_place_of_one_that_runs() {
    let served = shop().await;
    served.post("/deployments", rollout("a", "feature", 5)).await;
    served.post("/deployments/a/start", Value::Null).await;
    let put = async |document: Value| served.ask(Method::PUT, "/deployments/a", Some(document)).await;
    let mut next = rollout("a", "feature", 20);
    let (status, problem) = put(next.clone()).await;
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("another `version`"), "{problem}");
    // What does not make it another deployment can change.
    let mut renamed = rollout("a", "feature", 5);
    renamed["name"] = json!("Another name");
    assert_eq!(put(renamed).await.0, 200);
    next["version"] = json!("2");
    assert_eq!(put(next).await.0, 200);
    let (_, shown) = served.get("/deployments/a").await;
    let status = &shown["status"];
    assert_eq!(
        (&status["state"], &status["epoch"], &status["version"]),
        (&json!("in_progress"), &json!(2), &json!("2"))
    );
    assert_eq!((&status["epochs"][0]["state"], &status["epochs"][0]["version"]), (&json!("superseded"), &json!("1")));
}
