//! The life of a segment, and who is a member.

use flaggate::{
    clock,
    model::DocumentKey,
    store::{Expected, Store, Write},
};
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::harness::{Served, serve};

/// Phones, two ways to have one, and who left.
async fn phones() -> Served {
    let served = serve().await;
    let platform = |id: &str, priority: u8| {
        json!({ "id": id, "name": id, "priority": priority, "tags": ["device"],
            "rules": [{ "field": "platform", "operator": "equals", "value": id }] })
    };
    let churned = json!({ "id": "churned", "name": "Left us", "rules": [{ "field": "visits", "operator": "less_than", "value": 1 }] });
    let phones = json!({ "id": "phones", "name": "Phones", "type": "composite", "priority": 10,
        "expression": "(ios OR android)", "exclusion_segments": ["churned"] });
    for segment in [platform("ios", 5), platform("android", 5), churned, phones] {
        let (status, answer) = served.post("/segments", segment.clone()).await;
        assert_eq!((status, answer), (201, json!({ "success": true, "segment_id": segment["id"] })));
    }
    served
}

fn column<'a>(list: &'a Value, name: &str) -> Vec<&'a Value> {
    list.as_array().unwrap().iter().map(|item| &item[name]).collect()
}

#[tokio::test]
async fn a_segment_is_created_read_changed_and_removed() {
    let served = phones().await;
    let (status, problem) = served.post("/segments", json!({ "id": "ios", "name": "again" })).await;
    assert_eq!((status, &problem["detail"]), (409, &json!("Segment already exists")));
    let (status, segment) = served.get("/segments/phones").await;
    assert_eq!(status, 200);
    let names: Vec<&str> = segment.as_object().unwrap().keys().map(String::as_str).collect();
    let kept = [
        "id",
        "name",
        "description",
        "type",
        "rules",
        "parent_segments",
        "exclusion_segments",
        "ml_model_id",
        "feature_columns",
        "created_at",
        "updated_at",
        "estimated_size",
        "last_computed",
        "cache_ttl_seconds",
        "priority",
    ];
    assert_eq!(names, [kept.as_slice(), &["expression"]].concat(), "the order of the service before, then ours");
    assert_eq!((&segment["estimated_size"], &segment["cache_ttl_seconds"]), (&json!(0), &json!(300)));
    assert!(segment["created_at"].as_str().unwrap().ends_with('Z'));

    assert_eq!(served.patch("/segments/phones", json!({ "priority": 20, "exclusion_segments": null })).await.0, 200);
    let (_, changed) = served.get("/segments/phones").await;
    assert_eq!((&changed["priority"], &changed["exclusion_segments"]), (&json!(20), &json!([])));
    assert_eq!(changed["created_at"], segment["created_at"]);
    assert_ne!(changed["updated_at"], segment["updated_at"]);

    assert_eq!(served.ask(Method::PUT, "/segments/phones", Some(changed.clone())).await.0, 200);
    assert_eq!(served.get("/segments/phones").await.1, changed, "what was read can be sent back");
    let (status, answer) = served.ask(Method::PUT, "/segments/new", Some(json!({ "name": "New" }))).await;
    assert_eq!((status, answer), (201, json!({ "success": true, "segment_id": "new" })));
    assert_eq!(served.delete("/segments/new").await, (200, json!({ "success": true })));
    assert_eq!(served.delete("/segments/new").await.0, 404);
    let (status, problem) = served.get("/segments/new").await;
    assert_eq!(
        (status, &problem["title"], &problem["detail"]),
        (404, &json!("Not Found"), &json!("Segment not found"))
    );
}

#[tokio::test]
async fn conditions_and_dry_runs() {
    let served = phones().await;
    let url = format!("http://{}/segments/ios", served.address);
    let first = served.client.get(&url).send().await.unwrap();
    let tag = first.headers()[header::ETAG].clone();
    let known = served.client.get(&url).header(header::IF_NONE_MATCH, &tag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    let change =
        |tag: &str| served.client.patch(&url).header(header::IF_MATCH, tag).json(&json!({ "priority": 6 })).send();
    assert_eq!(change("\"r9-00000000\"").await.unwrap().status(), 412);
    assert_eq!(change(tag.to_str().unwrap()).await.unwrap().status(), 200);
    let only_new = served.client.put(&url).header(header::IF_NONE_MATCH, "*").json(&json!({ "name": "x" }));
    assert_eq!(only_new.send().await.unwrap().status(), 412);
    let (status, tried) = served.patch("/segments/ios?dry_run=true", json!({ "priority": 7 })).await;
    assert_eq!((status, &tried["segment_id"], &tried["action"]), (200, &json!("ios"), &json!("updated")));
    assert_eq!(tried["changes"][0], json!({ "pointer": "/priority", "before": 6, "after": 7 }));
    let (status, tried) = served.post("/segments?dry_run=true", json!({ "id": "x", "name": "X" })).await;
    assert_eq!((status, &tried["action"], &tried["document"]["type"]), (200, &json!("created"), &json!("rule_based")));
    assert_eq!(served.get("/segments/x").await.0, 404);
    let (_, waited) = served.patch("/segments/ios?wait=0", json!({ "priority": 8 })).await;
    assert_eq!(waited["acknowledged"], 0, "{waited}");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    let served = phones().await;
    for (fields, pointer, message) in [
        (json!({ "id": "a b" }), "/id", "1 to 128"),
        (json!({ "id": "evaluate" }), "/id", "something else"),
        (json!({ "name": "" }), "/name", "empty"),
        (json!({ "name": null }), "/name", "none is not an allowed value"),
        (json!({ "type": "magic" }), "/type", "known are rule_based"),
        (json!({ "colour": "red" }), "/colour", "unknown field"),
        (json!({ "rules": [{ "field": "a", "operator": "like", "value": 1 }] }), "/rules/0/operator", ""),
        (json!({ "rules": [{ "operator": "equals", "value": 1 }] }), "/rules/0/field", "name of an attribute"),
        (json!({ "parent_segments": ["ios", "nobody"] }), "/parent_segments/1", "no segment"),
        (json!({ "exclusion_segments": ["s"] }), "/exclusion_segments/0", "s → s"),
        (
            json!({ "type": "composite", "expression": "ios && android" }),
            "/expression",
            "at character 5: unexpected '&', did you mean AND?",
        ),
        (json!({ "expression": "ios" }), "/expression", "only a composite segment"),
        (json!({ "type": "composite", "expression": "ios AND nobody" }), "/expression", "no segment \"nobody\""),
        (
            json!({ "type": "dynamic", "rules": [{ "field": "a", "operator": "equals", "value": 1 }] }),
            "/rules",
            "activity",
        ),
        (json!({ "type": "ml_based" }), "/ml_model_id", "model is missing"),
        (json!({ "type": "ml_based", "ml_model_id": "m", "threshold": 1.5 }), "/threshold", "from 0 to 1"),
        (json!({ "threshold": 0.5 }), "/threshold", "ml_based"),
        (json!({ "min_score": 2 }), "/min_score", "no rules"),
        (json!({ "priority": "high" }), "/priority", "a whole number"),
        (json!({ "priority": 1e300 }), "/priority", "a whole number"),
        (
            json!({ "parent_segments": ["ios"], "exclusion_segments": ["ios"] }),
            "/exclusion_segments/0",
            "parent as well",
        ),
        (json!({ "created_at": "yesterday" }), "/created_at", "datetime"),
    ] {
        let mut segment = json!({ "id": "s", "name": "S" });
        segment.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let (status, problem) = served.post("/segments", segment).await;
        assert_eq!((status, &problem["status"]), (422, &json!(422)), "{fields}: {problem}");
        let error = &problem["errors"][0];
        assert_eq!(
            (error["pointer"].as_str(), problem["errors"].as_array().map(Vec::len)),
            (Some(pointer), Some(1)),
            "{problem}"
        );
        assert!(error["message"].as_str().unwrap().contains(message), "{fields}: {problem}");
    }
    let (status, problem) = served.patch("/segments/ios", json!({ "parent_segments": ["phones"] })).await;
    assert_eq!((status, &problem["errors"][0]["message"]), (422, &json!("a cycle: ios → phones → ios")));
    let (status, problem) = served.patch("/segments/ios", json!({ "id": "other" })).await;
    assert_eq!(
        (status, &problem["errors"][0]["message"]),
        (422, &json!("a segment's id and time of creation never change"))
    );
    let waiting = json!({ "id": "churn", "name": "Churn", "type": "ml_based", "ml_model_id": "not_trained_yet" });
    assert_eq!(served.post("/segments", waiting).await.0, 201, "a segment may be there before its model");
}

#[tokio::test]
async fn what_others_name_stays() {
    let served = phones().await;
    let rule = json!([{ "segments": ["phones"], "return_value": true }]);
    for flag in [
        json!({ "key": "app", "name": "App", "targeting_enabled": true, "targeting_rules": rule }),
        json!({ "key": "elsewhere", "name": "E", "environments": { "live": { "targeting_enabled": true, "targeting_rules": rule } } }),
    ] {
        let (status, answer) = served.post("/flags", flag).await;
        assert_eq!(status, 200, "{answer}");
    }
    let detail = async |path: &str| {
        let (status, problem) = served.delete(path).await;
        assert_eq!(status, 409, "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(detail("/segments/ios").await, "ios is named by the segment phones; change those first");
    assert_eq!(detail("/segments/phones").await, "phones is named by the flags app, elsewhere; change those first");
    for flag in ["app", "elsewhere"] {
        assert_eq!(served.delete(&format!("/flags/{flag}")).await.0, 200);
    }
    assert_eq!(served.delete("/segments/phones").await.0, 200);
    assert_eq!(served.delete("/segments/ios").await.0, 200);
}

#[tokio::test]
async fn lists_and_pages() {
    let served = phones().await;
    assert_eq!(served.patch("/segments/ios", json!({ "priority": -3 })).await.0, 200);
    for (query, ids) in [
        ("", vec!["phones", "android", "churned", "ios"]),
        ("?type=composite", vec!["phones"]),
        ("?type=rule_based&q=LEFT", vec!["churned"]),
        ("?tag=device", vec!["android", "ios"]),
        ("?tag=none", vec![]),
        ("?q=device", vec!["android", "ios"]),
    ] {
        let (status, list) = served.get(&format!("/segments{query}")).await;
        assert_eq!(
            (status, column(&list, "id")),
            (200, ids.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect()),
            "{query}"
        );
    }
    let (mut seen, mut path) = (Vec::new(), "/segments?limit=1".to_owned());
    loop {
        let answer = served.client.get(format!("http://{}{path}", served.address)).send().await.unwrap();
        assert_eq!(answer.headers()["x-total-count"], "4");
        let next = answer.headers().get(header::LINK).map(|link| link.to_str().unwrap().to_owned());
        seen.extend(column(&answer.json::<Value>().await.unwrap(), "id").into_iter().cloned());
        let Some(next) = next else { break };
        path = next.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(seen, ["phones", "android", "churned", "ios"]);
    for wrong in ["type=magic", "limit=0", "cursor=61"] {
        assert_eq!(served.get(&format!("/segments?{wrong}")).await.0, 422, "{wrong}");
    }
}

#[tokio::test]
async fn history_and_the_way_back() {
    let served = phones().await;
    assert_eq!(served.patch("/segments/ios", json!({ "priority": 9 })).await.0, 200);
    let (status, history) = served.get("/segments/ios/history?full=true").await;
    let entries = &history["entries"];
    assert_eq!((status, column(entries, "action")), (200, vec![&json!("updated"), &json!("created")]));
    assert_eq!(entries[0]["changes"], json!([{ "pointer": "/priority", "before": 5, "after": 9 }]));
    assert_eq!((&entries[0]["kind"], &entries[0]["document"]["cache_ttl_seconds"]), (&json!("segment"), &json!(300)));
    let (status, answer) = served.post("/segments/ios/rollback", json!({ "revision": 1 })).await;
    assert_eq!((status, answer), (200, json!({ "success": true, "segment_id": "ios" })));
    assert_eq!(served.get("/segments/ios").await.1["priority"], 5);
    assert_eq!(served.get("/segments/nobody/history").await.0, 404);
    assert_eq!(served.post("/segments/ios/rollback", json!({ "revision": 7 })).await.0, 404);
    let (_, log) = served.get("/audit?kind=segment&key=ios").await;
    assert_eq!(log["entries"].as_array().unwrap().len(), 3, "{log}");
    assert_eq!(served.delete("/segments/phones").await.0, 200);
    assert_eq!(served.delete("/segments/ios").await.0, 200);
    let (status, problem) = served.post("/segments/phones/rollback", json!({ "revision": 1 })).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/expression")), "what it names is gone");
}

#[tokio::test]
async fn who_is_a_member() {
    let served = phones().await;
    let (status, answer) = served
        .post("/segments/evaluate", json!({ "user_id": "u", "attributes": { "platform": "ios", "visits": 3 } }))
        .await;
    assert_eq!((status, answer), (200, json!({ "user_id": "u", "segments": ["phones", "ios"] })));
    let ask = json!({ "user_id": "u", "attributes": { "platform": "ios", "visits": 0 }, "segments": ["ios", "phones"], "explain": true });
    let (_, answer) = served.post("/segments/evaluate", ask).await;
    assert_eq!(answer["segments"], json!(["ios"]));
    let phones = &answer["details"][0];
    assert_eq!(
        *phones,
        json!({
            "id": "phones", "type": "composite", "member": false,
            "because": "the user is a member of \"churned\", which is excluded",
            "parents": [],
            "exclusions": [{ "id": "churned", "member": true }],
            "expression": {
                "holds": true,
                "segments": [{ "id": "ios", "member": true }, { "id": "android", "member": false }],
                "text": "(ios OR android)",
            },
            "rules": [],
        })
    );
    let rule = json!({ "field": "platform", "operator": "equals", "seen": "ios", "weight": 1.0, "holds": true });
    assert_eq!(answer["details"][1]["rules"], json!([rule]));
    let (status, problem) =
        served.post("/segments/evaluate", json!({ "user_id": "u", "segments": ["ios", "nobody"] })).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/segments/1")));
    let (status, problem) = served.post("/segments/evaluate", json!({})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/user_id")));
    assert_eq!(served.get("/users/u/segments").await, (200, json!({ "user_id": "u", "segments": [] })));
    let (_, why) = served.get("/users/a%2Fb/segments?explain=true").await;
    assert_eq!((&why["user_id"], why["details"].as_array().unwrap().len()), (&json!("a/b"), 4));
    assert_eq!(why["details"][1]["because"], "rule 0 does not hold");
    assert_eq!(why["details"][1]["rules"][0]["because"], "the attribute is absent");
    assert_eq!(served.get("/users/u/segments?explain=perhaps").await.0, 422);
}

#[tokio::test]
async fn documents_of_the_service_before_are_shown_as_they_were() {
    let served = serve().await;
    let stored: Value = serde_json::from_str(include_str!("../data/redis-v1.json")).unwrap();
    let text = stored["segment:at_risk_churn"]["value"]["definition"]
        .as_str()
        .or_else(|| stored["segment:at_risk_churn"]["definition"].as_str())
        .unwrap();
    let write = Write {
        document: DocumentKey::segment("at_risk_churn"),
        text: Some(text.into()),
        expected: Expected::Absent,
        actor: "another program".to_owned(),
        at: clock::now(),
        fence: None,
    };
    served.store.write(write).await.unwrap();
    // The hint that was sent is followed in a moment; another write waits for it.
    assert_eq!(served.post("/segments", json!({ "id": "later", "name": "Later" })).await.0, 201);
    let mut expected: Value = serde_json::from_str(text).unwrap();
    expected["created_at"] = "2026-11-24T05:26:11.861692Z".into();
    expected["updated_at"] = "2026-11-24T05:26:11.861693Z".into();
    let (_, shown) = served.get("/segments/at_risk_churn").await;
    assert_eq!(shown.to_string(), expected.to_string(), "the same fields in the same order");
    assert_eq!(served.patch("/segments/at_risk_churn", json!({ "priority": 16 })).await.0, 200);
    assert_eq!(served.get("/segments").await.1[0]["id"], "at_risk_churn");
}
