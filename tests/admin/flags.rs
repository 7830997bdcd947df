//! The life of a flag.

use std::sync::Arc;

use flaggate::{
    clock,
    model::DocumentKey,
    store::{Expected, Store, Write},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Served, serve};

async fn evaluate(served: &Served, key: &str, user_id: &str) -> Value {
    let (status, answer) = served.post(&format!("/flags/{key}/evaluate"), json!({ "user_id": user_id })).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn a_change_is_served_when_its_answer_comes() {
    let served = serve().await;
    let flag = json!({ "key": "a", "name": "A", "default_value": true });
    assert_eq!(served.post("/flags", flag).await.0, 200);
    for round in 0..50 {
        let on = round % 2 == 0;
        assert_eq!(served.patch("/flags/a", json!({ "default_value": on })).await, (200, json!({ "success": true })));
        assert_eq!(evaluate(&served, "a", "u").await["value"], on);
    }
    assert_eq!(served.delete("/flags/a").await, (200, json!({ "success": true })));
    assert_eq!(served.post("/flags/a/evaluate", json!({ "user_id": "u" })).await.0, 404);
    assert_eq!(served.get("/flags/a").await.0, 404);
    assert_eq!(served.delete("/flags/a").await, (404, json!({ "detail": "Flag not found" })));
}

#[tokio::test]
async fn no_concurrent_change_is_lost() {
    let served = Arc::new(serve().await);
    assert_eq!(served.post("/flags", json!({ "key": "a", "name": "A" })).await.0, 200);
    let changes = [
        json!({ "description": "d" }),
        json!({ "enabled": false }),
        json!({ "tags": ["t"] }),
        json!({ "created_by": "me" }),
        json!({ "rollout_percentage": 12.5 }),
        json!({ "owner": "us" }),
    ];
    let mut tasks = JoinSet::new();
    for change in changes.clone() {
        let served = Arc::clone(&served);
        tasks.spawn(async move { served.patch("/flags/a", change).await });
    }
    for (status, answer) in tasks.join_all().await {
        assert_eq!(status, 200, "{answer}");
    }
    let (_, flag) = served.get("/flags/a").await;
    for change in changes {
        for (name, value) in change.as_object().unwrap() {
            assert_eq!(&flag[name], value, "{name}");
        }
    }
}

#[tokio::test]
async fn what_was_read_can_be_sent_back_and_null_resets() {
    let served = serve().await;
    let flag = json!({ "key": "a", "name": "A", "tags": ["t"], "description": "d", "kind": "ops" });
    assert_eq!(served.post("/flags", flag).await.0, 200);
    let (_, mut flag) = served.get("/flags/a").await;
    flag["description"] = "e".into();
    assert_eq!(served.patch("/flags/a", flag).await, (200, json!({ "success": true })));
    assert_eq!(served.patch("/flags/a", json!({ "tags": null, "kind": null })).await.0, 200);
    let (_, flag) = served.get("/flags/a").await;
    assert_eq!((&flag["description"], &flag["tags"], flag.get("kind")), (&"e".into(), &json!([]), None));
}

#[tokio::test]
async fn old_faults_do_not_stand_in_the_way_of_switching_off() {
    let served = serve().await;
    let rules = json!([{ "attribute": "a", "operator": "from_the_future", "value": 1 }]);
    let text = json!({ "key": "old:key", "name": "x", "targeting_rules": rules, "zzz": 1 }).to_string();
    let write = Write {
        document: DocumentKey::flag("old:key"),
        text: Some(text.into()),
        expected: Expected::Absent,
        actor: "another program".to_owned(),
        at: clock::now(),
        fence: None,
    };
    served.store.write(write).await.unwrap();
    assert_eq!(served.patch("/flags/old:key", json!({ "enabled": false })).await, (200, json!({ "success": true })));
    let (_, flag) = served.get("/flags/old:key").await;
    assert_eq!((&flag["enabled"], &flag["zzz"]), (&json!(false), &json!(1)), "unknown fields are kept");
    assert_eq!(evaluate(&served, "old:key", "u").await["reason"], "flag_disabled");
    let (status, answer) = served.patch("/flags/old:key", json!({ "yyy": 1 })).await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "yyy"])));
}

#[tokio::test]
async fn lists_by_tag() {
    let served = serve().await;
    for (key, tags) in [("b", json!(["x", "y"])), ("a", json!(["y"])), ("c", json!([]))] {
        assert_eq!(served.post("/flags", json!({ "key": key, "name": key, "tags": tags })).await.0, 200);
    }
    for (query, expected) in
        [("", vec!["a", "b", "c"]), ("?tags=x", vec!["b"]), ("?tags=x&tags=y", vec!["a", "b"]), ("?tags=z", vec![])]
    {
        let (_, flags) = served.get(&format!("/flags{query}")).await;
        let keys: Vec<&str> = flags.as_array().unwrap().iter().map(|flag| flag["key"].as_str().unwrap()).collect();
        assert_eq!(keys, expected, "{query}");
    }
}
