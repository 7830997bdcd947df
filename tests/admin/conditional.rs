//! Whole documents, entity tags, conditions and writes that are only tried.

use reqwest::{Method, Response, header};
use serde_json::{Value, json};

use crate::harness::{Served, serve};

/// Sends a request with headers; gives the status, the tag and the JSON of the answer.
async fn ask(
    served: &Served,
    method: Method,
    path: &str,
    headers: &[(header::HeaderName, &str)],
    body: Option<Value>,
) -> (u16, Option<String>, Value) {
    let mut request = served.client.request(method, format!("http://{}{path}", served.address));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response: Response = request.send().await.unwrap();
    let tag = response.headers().get(header::ETAG).map(|tag| tag.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, tag, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}

#[tokio::test]
async fn put_makes_the_whole_document() {
    let served = serve().await;
    let put = async |path: &str, body: Value| ask(&served, Method::PUT, path, &[], Some(body)).await;
    let flag = json!({ "name": "A", "description": "d", "tags": ["t"], "owner": "us", "created_by": "me" });
    let (status, first, answer) = put("/flags/a", flag).await;
    assert_eq!((status, answer), (201, json!({ "success": true, "flag_key": "a" })));
    let (_, read, before) = ask(&served, Method::GET, "/flags/a", &[], None).await;
    assert_eq!(read, first);
    let (status, second, _) =
        put("/flags/a", json!({ "key": "a", "name": "B", "created_by": "you", "created_at": "2001-01-01T00:00:00Z" }))
            .await;
    assert!(status == 200 && second != first);
    let (_, _, after) = ask(&served, Method::GET, "/flags/a", &[], None).await;
    assert_eq!((&after["name"], &after["description"], &after["tags"]), (&json!("B"), &Value::Null, &json!([])));
    assert_eq!(after.get("owner"), None, "what is not named is unset");
    assert_eq!((&after["created_at"], &after["created_by"]), (&before["created_at"], &json!("me")));
    assert_ne!(after["updated_at"], before["updated_at"]);
    let (status, same, _) = put("/flags/a", after).await;
    assert_eq!((status, same), (200, second), "what was read and is sent back changes nothing");
    for (path, body, place) in [
        ("/flags/a", json!({ "key": "b", "name": "A" }), json!(["body", "key"])),
        ("/flags/a%20b", json!({ "name": "A" }), json!(["body", "key"])),
        ("/flags/a", json!({ "name": "A", "zzz": 1 }), json!(["body", "zzz"])),
        ("/flags/a", json!({ "enabled": "perhaps" }), json!(["body", "enabled"])),
        ("/flags/a", json!({ "name": "A", "prerequisites": ["a"] }), json!(["body", "prerequisites", 0])),
        ("/flags/a", json!({}), json!(["body", "name"])),
        ("/flags/a", json!([1]), json!(["body"])),
    ] {
        let (status, _, answer) = put(path, body.clone()).await;
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &place), "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_child_that_is_read_and_put_back_still_inherits() {
    let served = serve().await;
    let parent = json!({ "key": "p", "name": "P", "tags": ["x"], "default_value": true });
    assert_eq!(served.post("/flags", parent).await.0, 200);
    assert_eq!(served.post("/flags", json!({ "key": "c", "name": "C", "parent": "p" })).await.0, 200);
    let (_, mut child) = served.get("/flags/c").await;
    child["description"] = "d".into();
    assert_eq!(ask(&served, Method::PUT, "/flags/c", &[], Some(child)).await.0, 200);
    let (_, answer) = served.post("/flags/c/evaluate", json!({ "user_id": "u" })).await;
    assert_eq!(answer["value"], true, "{answer}");
}

#[tokio::test]
async fn every_answer_of_a_flag_has_its_tag_and_conditions_hold() {
    let served = serve().await;
    let flag = json!({ "key": "a", "name": "A" });
    let (status, first, _) = ask(&served, Method::POST, "/flags", &[], Some(flag.clone())).await;
    let first = first.unwrap();
    assert!(status == 200 && first.starts_with("\"r1-"), "{first}");
    let patch = json!({ "description": "d" });
    let (_, second, _) =
        ask(&served, Method::PATCH, "/flags/a", &[(header::IF_MATCH, &first)], Some(patch.clone())).await;
    let second = second.unwrap();
    assert!(second.starts_with("\"r2-"), "{second}");
    let (_, same, _) = ask(&served, Method::PATCH, "/flags/a", &[], Some(patch.clone())).await;
    assert_eq!(same.as_ref(), Some(&second), "nothing changed");
    let weak = format!("W/{second}");
    let listed = format!("{first}, {weak}");
    for (method, name, value, status) in [
        (Method::GET, header::IF_NONE_MATCH, second.as_str(), 304),
        (Method::GET, header::IF_NONE_MATCH, &listed, 304),
        (Method::GET, header::IF_NONE_MATCH, "*", 304),
        (Method::GET, header::IF_NONE_MATCH, &first, 200),
        (Method::GET, header::IF_MATCH, &first, 412),
        (Method::GET, header::IF_MATCH, "r1", 400),
        (Method::PATCH, header::IF_MATCH, &first, 412),
        (Method::PATCH, header::IF_MATCH, &weak, 412),
        (Method::PATCH, header::IF_MATCH, "r1", 400),
        (Method::PATCH, header::IF_NONE_MATCH, "*", 412),
        (Method::PATCH, header::IF_MATCH, "*", 200),
        (Method::PUT, header::IF_NONE_MATCH, "*", 412),
        (Method::PUT, header::IF_MATCH, &first, 412),
        (Method::DELETE, header::IF_MATCH, &first, 412),
        (Method::DELETE, header::IF_NONE_MATCH, &second, 412),
    ] {
        let body = (method == Method::PATCH || method == Method::PUT).then(|| patch.clone());
        let (found, tag, answer) = ask(&served, method.clone(), "/flags/a", &[(name.clone(), value)], body).await;
        assert_eq!(found, status, "{method} {name}: {value}: {answer}");
        if status != 400 {
            assert_eq!(tag.as_ref(), Some(&second), "{method} {name}: {value}");
        }
    }
    let known = [(header::IF_MATCH, second.as_str())];
    assert_eq!(ask(&served, Method::DELETE, "/flags/a", &known, None).await.0, 200);
    assert_eq!(ask(&served, Method::DELETE, "/flags/a", &known, None).await.0, 404);
    assert_eq!(ask(&served, Method::PATCH, "/flags/a", &known, Some(patch.clone())).await.0, 404);
    assert_eq!(ask(&served, Method::PUT, "/flags/a", &known, Some(flag.clone())).await.0, 412);
    let absent = [(header::IF_NONE_MATCH, "*")];
    let (status, again, _) = ask(&served, Method::PUT, "/flags/a", &absent, Some(flag)).await;
    assert_eq!(status, 201);
    assert_ne!(again, Some(first), "a flag that came back is not taken for the one that went");
}

#[tokio::test]
async fn what_is_tried_is_not_written() {
    let served = serve().await;
    let flag = json!({ "key": "a", "name": "A", "rollout_percentage": 10 });
    let post = async |body: &Value| ask(&served, Method::POST, "/flags?dry_run=true", &[], Some(body.clone())).await;
    let (status, tag, answer) = post(&flag).await;
    assert_eq!(
        (status, tag, &answer["action"], &answer["document"]["enabled"]),
        (200, None, &json!("created"), &json!(true))
    );
    assert_eq!(served.get("/flags/a").await.0, 404);
    assert_eq!(post(&json!({ "key": "a" })).await.0, 422);
    let (_, tag, _) = ask(&served, Method::POST, "/flags", &[], Some(flag.clone())).await;
    assert_eq!(post(&flag).await.0, 409);
    let changes = json!([{ "pointer": "/rollout_percentage", "before": 10, "after": 50 }]);
    for (method, path, body, action) in [
        (Method::PATCH, "/flags/a?dry_run=true", Some(json!({ "rollout_percentage": 50 })), "updated"),
        (Method::PUT, "/flags/a?dry_run=1", Some(json!({ "name": "A", "rollout_percentage": 50 })), "updated"),
        (Method::PUT, "/flags/b?dry_run=true", Some(json!({ "name": "B" })), "created"),
        (Method::PATCH, "/flags/a?dry_run=true", Some(json!({ "name": "A" })), "none"),
        (Method::DELETE, "/flags/a?dry_run=true", None, "deleted"),
    ] {
        let (status, _, answer) = ask(&served, method.clone(), path, &[], body).await;
        assert_eq!((status, &answer["action"]), (200, &json!(action)), "{method} {path}: {answer}");
        if action == "updated" {
            assert_eq!(answer["changes"], changes, "{method}");
            assert_eq!(answer["document"]["rollout_percentage"], 50.0, "{method}");
        }
    }
    let wrong = Some(json!({ "rollout_percentage": 101 }));
    assert_eq!(ask(&served, Method::PATCH, "/flags/a?dry_run=true", &[], wrong).await.0, 422);
    assert_eq!(ask(&served, Method::PATCH, "/flags/a?dry_run=yes", &[], Some(json!({}))).await.0, 422);
    assert_eq!(ask(&served, Method::DELETE, "/flags/b?dry_run=true", &[], None).await.0, 404);
    let stale = [(header::IF_MATCH, "\"x\"")];
    assert_eq!(ask(&served, Method::DELETE, "/flags/a?dry_run=true", &stale, None).await.0, 412);
    assert_eq!(ask(&served, Method::GET, "/flags/a", &[], None).await.1, tag, "nothing was written");
}

#[tokio::test]
async fn a_flag_may_be_called_evaluate() {
    let served = serve().await;
    for key in ["evaluate", "stale"] {
        let path = format!("/flags/{key}");
        assert_eq!(ask(&served, Method::PUT, &path, &[], Some(json!({ "name": "E" }))).await.0, 201);
        assert_eq!(served.get(&path).await.1["name"], "E");
        assert_eq!(served.patch(&path, json!({ "name": "F" })).await.0, 200);
        assert_eq!(served.get(&path).await.1["name"], "F");
        assert_eq!(served.post(&format!("{path}/evaluate"), json!({ "user_id": "u" })).await.0, 200);
        assert_eq!(served.delete(&path).await.0, 200);
    }
    let (status, answer) = served.get("/flags/%ff").await;
    assert!(status == 400 && answer["detail"].is_string(), "{answer}");
}
