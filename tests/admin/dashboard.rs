//! What the dashboard asks for: the ways of requests, changes, explanations, and its own files.

use reqwest::{Method, header};
use serde_json::json;

use crate::harness::serve;

#[tokio::test]
async fn routes_are_told_with_where_they_lead() {
    let served = serve().await;
    let (status, told) = served.get("/routes").await;
    let endpoint = json!({ "address": "127.0.0.1:9", "weight": 1, "healthy": null, "ejected": false });
    let route = json!({
        "name": "web", "match": { "hosts": [], "path_prefix": "/", "methods": [] }, "upstream": "checkout-v2",
        "strategies": [], "flags": []
    });
    assert_eq!(status, 200);
    let upstreams = json!([{ "name": "checkout-v2", "endpoints": [endpoint] }]);
    assert_eq!(told, json!({ "routes": [route], "upstreams": upstreams }));
}

#[tokio::test]
async fn changes_are_told_without_what_stood_in_them() {
    let served = serve().await;
    served.post("/flags", json!({ "key": "a", "name": "A", "description": "secret" })).await;
    served.patch("/flags/a", json!({ "enabled": false, "tags": ["x", "y"] })).await;
    let (status, told) = served.get("/changes?limit=1").await;
    assert_eq!(status, 200);
    let entry = &told["entries"][0];
    assert_eq!((&entry["kind"], &entry["key"], &entry["action"]), (&json!("flag"), &json!("a"), &json!("updated")));
    let fields = entry["fields"].as_array().unwrap();
    assert!(fields.contains(&json!("enabled")) && fields.contains(&json!("tags")), "{fields:?}");
    assert!(entry.get("changes").is_none());
    let next = told["next"].as_str().unwrap();
    let (_, told) = served.get(&format!("/changes?limit=1&cursor={next}")).await;
    assert_eq!(told["entries"][0]["action"], "created");
    assert!(!told.to_string().contains("secret"), "{told}");
}

#[tokio::test]
async fn an_explanation_has_every_step() {
    let served = serve().await;
    let rule = json!({ "attribute": "plan", "operator": "equals", "value": "pro", "return_value": true });
    let flag = json!({
        "key": "a", "name": "A", "targeting_enabled": true, "targeting_rules": [rule],
        "rollout_enabled": true, "rollout_percentage": 0
    });
    served.post("/flags", flag).await;
    let asked = |plan: &str| json!({ "user_id": "ann", "attributes": { "plan": plan } });
    let (status, told) = served.post("/flags/a/explain", asked("pro")).await;
    assert_eq!((status, &told["value"], &told["reason"]), (200, &json!(true), &json!("targeting_match")));
    assert_eq!(told["steps"][0]["condition"]["seen"], "pro");
    let (_, told) = served.post("/flags/a/explain", asked("free")).await;
    assert_eq!(told["value"], false);
    assert!(told["steps"].as_array().unwrap().len() > 1, "{told}");
    let (status, told) = served.post("/flags/none/explain", asked("pro")).await;
    assert_eq!((status, &told["status"]), (404, &json!(404)));
    let (status, told) = served.post("/flags/a/explain", json!({ "user": "ann" })).await;
    assert_eq!((status, &told["errors"][0]["pointer"]), (422, &json!("/user_id")), "{told}");
}

#[tokio::test]
async fn the_files_are_public_and_only_read() {
    let served = serve().await;
    for (method, path, expected) in [
        (Method::GET, "/", 307),
        (Method::GET, "/ui/", 200),
        (Method::HEAD, "/ui/flags/a", 200),
        (Method::POST, "/ui/", 405),
        (Method::GET, "/ui/assets/none.js", 404),
    ] {
        let asked = served.client.request(method.clone(), format!("http://{}{path}", served.address));
        assert_eq!(asked.send().await.unwrap().status(), expected, "{method} {path}");
    }
    let page = served.client.get(format!("http://{}/ui/", served.address)).header(header::HOST, "evil.example");
    assert_eq!(page.send().await.unwrap().status(), 403, "a page that rebinds its name to this machine");
}

#[tokio::test]
async fn operations_have_ids_of_their_own() {
    let served = serve().await;
    let (_, document) = served.get("/openapi.json").await;
    let items = document["paths"].as_object().unwrap().values();
    let mut ids: Vec<&str> = items
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}
