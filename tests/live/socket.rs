//! `WS /ws`: what is told, in which order, to whom.

use flaggate::{admin::LiveLimits, clock, model::DocumentKey, store::Store};
use serde_json::json;
use tokio_tungstenite::tungstenite;

use crate::harness::{number, serve};

#[tokio::test]
async fn who_says_nothing_gets_the_words_of_the_replaced_service() {
    let served = serve(LiveLimits::default()).await;
    served.put("before", 1).await;
    let mut socket = served.connect().await;
    // Old clients send any text to keep the connection, and are neither greeted nor answered.
    socket.say("ping").await;
    served.put("a", 1).await;
    let told = socket.hear().await;
    let fields: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["type", "flag_key", "action", "timestamp"]);
    assert_eq!(
        (&told["type"], &told["flag_key"], &told["action"]),
        (&json!("flag_update"), &json!("a"), &json!("created"))
    );
    assert!(told["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{told}");
    served.put("a", 2).await;
    served.put("b", 1).await;
    served.remove("a").await;
    for (key, action) in [("a", "updated"), ("b", "created"), ("a", "deleted")] {
        assert_eq!(socket.update().await, (key.to_owned(), action.to_owned()));
    }
}

#[tokio::test]
async fn who_is_told_of_a_change_evaluates_by_it() {
    let served = serve(LiveLimits::default()).await;
    let mut socket = served.connect().await;
    for round in 0..100 {
        let on = round % 2 == 0;
        // Not waited for: the message says when it is served.
        let text = json!({ "key": "a", "name": "a", "default_value": on }).to_string();
        served.store_only("a", text).await;
        socket.update().await;
        assert_eq!(served.evaluate("a").await["value"], on, "round {round}");
    }
}

#[tokio::test]
async fn a_snapshot_comes_first_and_then_each_change_with_its_revision() {
    let served = serve(LiveLimits::default()).await;
    served.fill(2000).await;
    let mut socket = served.connect().await;
    socket.say(r#"{"subscribe": ["flags"]}"#).await;
    let (keys, revision) = socket.snapshot().await;
    assert_eq!(keys.len(), 2000);
    assert!(keys.is_sorted());
    let mut last = number(&json!(revision));
    for percentage in 0..50 {
        served.put("flag-7", percentage).await;
        let told = socket.hear().await;
        assert_eq!((&told["flag_key"], &told["action"]), (&json!("flag-7"), &json!("updated")));
        assert_eq!(number(&told["revision"]), last + 1);
        last += 1;
    }
    socket.say(r#"{"unsubscribe": ["flags"]}"#).await;
    assert_eq!(socket.hear().await, json!({ "type": "unsubscribed", "kinds": ["flags"] }));
    served.put("flag-7", 50).await;
    socket.say(r#"{"subscribe": ["flags"], "keys": ["flag-1", "nowhere"]}"#).await;
    let (keys, revision) = socket.snapshot().await;
    assert_eq!((keys, number(&json!(revision))), (vec!["flag-1".to_owned()], last + 1));
    served.put("flag-2", 1).await;
    served.put("nowhere", 1).await;
    assert_eq!(socket.update().await, ("nowhere".to_owned(), "created".to_owned()));
}

#[tokio::test]
async fn a_load_in_full_tells_only_what_differs() {
    let served = serve(LiveLimits::default()).await;
    served.put("a", 1).await;
    served.put("b", 1).await;
    let (mut plain, mut socket) = (served.connect().await, served.connect().await);
    socket.say(r#"{"subscribe": ["flags"]}"#).await;
    let (_, revision) = socket.snapshot().await;
    let kept = served.store.get(&DocumentKey::flag("a")).await.unwrap().unwrap().text;
    let added = json!({ "key": "c", "name": "c" }).to_string().into();
    let documents = vec![(DocumentKey::flag("a"), kept), (DocumentKey::flag("c"), added)];
    let expected = served.store.revision().await.unwrap();
    served.store.reseed(&expected, documents, "test", clock::now()).await.unwrap();
    let mut told = [socket.hear().await, socket.hear().await];
    told.sort_by_key(|told| told["flag_key"].to_string());
    for (told, (key, action)) in told.iter().zip([("b", "deleted"), ("c", "created")]) {
        assert_eq!((&told["flag_key"], &told["action"]), (&json!(key), &json!(action)));
        let epoch = |revision: &str| revision.rsplit_once(':').unwrap().0.to_owned();
        assert_ne!(epoch(told["revision"].as_str().unwrap()), epoch(&revision));
    }
    let mut plain = [plain.update().await, plain.update().await];
    plain.sort();
    let expected = [("b", "deleted"), ("c", "created")].map(|(key, action)| (key.to_owned(), action.to_owned()));
    assert_eq!(plain, expected);
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_told() {
    let served = serve(LiveLimits::default()).await;
    let mut socket = served.connect().await;
    for (said, code) in [
        (r#"{"subscribe": ["flag"]}"#, "unknown_kind"),
        (r#"{"subscribe": ["flags", "traffic"]}"#, "not_served_yet"),
        (r#"{"subscribe": 1}"#, "invalid"),
        (r#"{"subscribe": ["\u0000"]}"#, "unknown_kind"),
    ] {
        socket.say(said).await;
        let told = socket.hear().await;
        assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!(code)), "{told}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_do_not_connect() {
    let served = serve(LiveLimits::default()).await;
    let own = format!("http://{}", served.address);
    assert!(served.connect_as(Some(&own)).await.is_ok());
    for origin in ["https://elsewhere.example", "null", "http://127.0.0.1.elsewhere.example"] {
        match served.connect_as(Some(origin)).await.map(|_| ()).map_err(|error| *error) {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403, "{origin}"),
            other => panic!("{origin}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_plain_request_is_not_found() {
    let served = serve(LiveLimits::default()).await;
    let answer = served.http.get(format!("http://{}/ws", served.address)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (404, r#"{"detail":"Not Found"}"#));
}
