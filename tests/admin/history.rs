//! The history of flags, going back in it, and the audit log.

use flaggate::{
    clock,
    model::DocumentKey,
    store::{Expected, Store, Write},
};
use reqwest::header;
use serde_json::{Value, json};

use crate::harness::{Served, serve};

/// A flag that was created, changed twice, removed, and created anew.
async fn life() -> Served {
    let served = serve().await;
    assert_eq!(served.post("/flags", json!({ "key": "a", "name": "A", "tags": ["t"] })).await.0, 200);
    assert_eq!(served.patch("/flags/a", json!({ "rollout_percentage": 10 })).await.0, 200);
    assert_eq!(served.post("/flags", json!({ "key": "b", "name": "B" })).await.0, 200);
    assert_eq!(served.patch("/flags/a", json!({ "rollout_percentage": 50, "tags": null })).await.0, 200);
    assert_eq!(served.delete("/flags/a").await.0, 200);
    served
}

fn column<'a>(entries: &'a Value, name: &str) -> Vec<&'a Value> {
    entries["entries"].as_array().unwrap().iter().map(|entry| &entry[name]).collect()
}

#[tokio::test]
async fn a_flags_history_outlives_it() {
    let served = life().await;
    let (status, history) = served.get("/flags/a/history").await;
    assert_eq!((status, &history["next"]), (200, &Value::Null));
    assert_eq!(column(&history, "action"), ["deleted", "updated", "updated", "created"]);
    assert_eq!(column(&history, "revision"), [3, 3, 2, 1]);
    assert_eq!(column(&history, "actor"), ["anonymous"; 4]);
    let changes = column(&history, "changes");
    let expected = json!([
        { "pointer": "/tags", "before": ["t"] },
        { "pointer": "/rollout_percentage", "before": 10, "after": 50 },
    ]);
    assert_eq!(changes[1], &expected);
    assert_eq!(changes[2], &json!([{ "pointer": "/rollout_percentage", "after": 10 }]));
    assert_eq!(changes[3][0], json!({ "pointer": "/key", "after": "a" }));
    assert_eq!(changes[0][0], json!({ "pointer": "/key", "before": "a" }));
    assert_eq!(history["entries"][0].get("document"), None);
    let (_, full) = served.get("/flags/a/history?full=true&limit=2").await;
    assert_eq!(full["entries"][0]["document"], Value::Null);
    assert_eq!(full["entries"][1]["document"]["rollout_percentage"], 50.0);
    let mut seen = Vec::new();
    let mut path = "/flags/a/history?limit=1".to_owned();
    loop {
        let (_, page) = served.get(&path).await;
        seen.extend(page["entries"].as_array().unwrap().clone());
        // What happens meanwhile comes before all pages.
        assert_eq!(served.patch("/flags/b", json!({ "description": seen.len().to_string() })).await.0, 200);
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/flags/a/history?limit=1&cursor={next}");
    }
    assert_eq!(Value::from(seen), history["entries"]);
    let (status, answer) = served.get("/flags/nobody/history").await;
    assert_eq!((status, &answer["status"], &answer["title"]), (404, &json!(404), &json!("Not Found")));
    for wrong in ["limit=0", "cursor=x", "full=perhaps"] {
        let (status, answer) = served.get(&format!("/flags/a/history?{wrong}")).await;
        let name = wrong.split('=').next().unwrap();
        assert_eq!((status, &answer["errors"][0]["parameter"]), (422, &json!(name)), "{answer}");
    }
}

#[tokio::test]
async fn back_to_an_earlier_revision() {
    let served = life().await;
    let rollback = async |revision: u64| served.post("/flags/a/rollback", json!({ "revision": revision })).await;
    assert_eq!(rollback(2).await, (201, json!({ "success": true, "flag_key": "a" })));
    let (_, flag) = served.get("/flags/a").await;
    assert_eq!((&flag["rollout_percentage"], &flag["tags"]), (&json!(10.0), &json!(["t"])));
    assert_eq!(rollback(3).await.0, 200);
    let (_, flag) = served.get("/flags/a").await;
    assert_eq!((&flag["rollout_percentage"], &flag["tags"]), (&json!(50.0), &json!([])));
    let (_, history) = served.get("/flags/a/history").await;
    assert_eq!(column(&history, "revision"), [5, 4, 3, 3, 2, 1], "going back is a change like any other");
    assert_eq!(rollback(3).await.0, 200);
    assert_eq!(served.get("/flags/a/history").await.1, history, "it is there already");
    let (_, tried) = served.post("/flags/a/rollback?dry_run=true", json!({ "revision": 2 })).await;
    assert_eq!((&tried["action"], &tried["document"]["rollout_percentage"]), (&json!("updated"), &json!(10.0)));
    let url = format!("http://{}/flags/a/rollback", served.address);
    let stale = served.client.post(&url).header(header::IF_MATCH, "\"r1-00000000\"").json(&json!({ "revision": 2 }));
    let stale = stale.send().await.unwrap();
    assert_eq!(stale.status(), 412);
    assert_eq!(stale.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert!(stale.headers()[header::ETAG].to_str().unwrap().starts_with("\"r5-"));
    let (status, answer) = rollback(9).await;
    assert!(status == 404 && answer["detail"].as_str().unwrap().contains("revisions 1 to 5"), "{answer}");
    for (body, pointer) in [
        (json!({}), "/revision"),
        (json!({ "revision": 0 }), "/revision"),
        (json!({ "revision": -1 }), "/revision"),
        (json!({ "revision": 1.5 }), "/revision"),
        (json!({ "revision": "1" }), "/revision"),
        (json!({ "revision": 1, "x/y": 2 }), "/x~1y"),
        (json!(7), ""),
    ] {
        let (status, answer) = served.post("/flags/a/rollback", body).await;
        assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!(pointer)), "{answer}");
    }
}

#[tokio::test]
async fn what_an_earlier_revision_rests_on_is_checked_anew() {
    let served = serve().await;
    assert_eq!(served.post("/flags", json!({ "key": "base", "name": "B" })).await.0, 200);
    assert_eq!(served.post("/flags", json!({ "key": "a", "name": "A", "prerequisites": ["base"] })).await.0, 200);
    assert_eq!(served.patch("/flags/a", json!({ "prerequisites": [] })).await.0, 200);
    assert_eq!(served.delete("/flags/base").await.0, 200);
    let (status, answer) = served.post("/flags/a/rollback", json!({ "revision": 1 })).await;
    assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!("/prerequisites/0")), "{answer}");
}

#[tokio::test]
async fn the_audit_log_is_searched() {
    let served = life().await;
    let write = Write {
        document: DocumentKey::flag("c"),
        text: Some(r#"{"key": "c", "name": "C"}"#.into()),
        expected: Expected::Absent,
        actor: "robot".to_owned(),
        at: clock::now(),
        fence: None,
    };
    served.store.write(write).await.unwrap();
    for (query, keys) in [
        ("", vec!["c", "a", "a", "b", "a", "a"]),
        ("actor=robot", vec!["c"]),
        ("action=created", vec!["c", "b", "a"]),
        ("action=created&key=a", vec!["a"]),
        ("kind=flag&action=deleted", vec!["a"]),
        ("actor=nobody", vec![]),
    ] {
        let (status, log) = served.get(&format!("/audit?{query}")).await;
        assert_eq!(status, 200, "{log}");
        assert_eq!(column(&log, "key"), keys, "{query}");
        let (_, first) = served.get(&format!("/audit?limit=1&{query}")).await;
        assert_eq!(column(&first, "key"), keys.iter().take(1).collect::<Vec<_>>(), "{query}");
        if keys.len() > 1 {
            let next = first["next"].as_str().unwrap();
            let (_, rest) = served.get(&format!("/audit?limit=100&cursor={next}&{query}")).await;
            assert_eq!(column(&rest, "key"), keys[1..], "{query}");
        }
    }
    for wrong in ["kind=banana", "action=painted"] {
        assert_eq!(served.get(&format!("/audit?{wrong}")).await.0, 422, "{wrong}");
    }
}

#[tokio::test]
async fn a_long_log_is_read_to_its_end() {
    let served = serve().await;
    assert_eq!(served.post("/flags", json!({ "key": "first", "name": "F" })).await.0, 200);
    for number in 0..600 {
        let write = Write {
            document: DocumentKey::flag("busy"),
            text: Some(json!({ "key": "busy", "name": number.to_string() }).to_string().into()),
            expected: Expected::Any,
            actor: "robot".to_owned(),
            at: clock::now(),
            fence: None,
        };
        served.store.write(write).await.unwrap();
    }
    assert_eq!(column(&served.get("/audit?key=first").await.1, "action"), ["created"]);
    let (mut count, mut path) = (0, "/flags/busy/history?limit=100".to_owned());
    loop {
        let (_, page) = served.get(&path).await;
        count += page["entries"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/flags/busy/history?limit=100&cursor={next}");
    }
    assert_eq!(count, 600);
}
