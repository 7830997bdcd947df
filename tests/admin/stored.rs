//! What is stored of users counts where they are evaluated over the API.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use flaggate::{model::Profile, profiles::Source};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Served, serve_with_profiles};

/// A flag for those who pay, of whom `ann` is one by her profile; `eve`'s profile cannot be had. Counts the look-ups.
async fn served() -> (Served, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let source: Source = Box::new(move |user| {
        count.fetch_add(1, SeqCst);
        let found = match user {
            "ann" => Ok(Some(Profile::parse(Some(r#"{"plan": "pro"}"#), None, None))),
            "eve" => Err("down".to_owned()),
            _ => Ok(None),
        };
        Box::pin(async move { found })
    });
    let served = serve_with_profiles(source).await;
    let rule = json!({ "attribute": "plan", "operator": "equals", "value": "pro" });
    let flag = json!({ "key": "paying", "name": "P", "targeting_enabled": true, "targeting_rules": [rule] });
    assert_eq!(served.post("/flags", flag).await.0, 200);
    (served, asked)
}

#[tokio::test]
async fn they_count_over_ofrep() {
    let (served, asked) = served().await;
    let evaluated = async |path: &str, context: Value| {
        let (status, answer) =
            served.post(&format!("/ofrep/v1/evaluate/flags{path}"), json!({ "context": context })).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    for (context, value, reason) in [
        (json!({ "targetingKey": "ann" }), true, "TARGETING_MATCH"),
        (json!({ "targetingKey": "ann", "plan": "free" }), false, "DEFAULT"),
        (json!({ "targetingKey": "bob" }), false, "DEFAULT"),
        (json!({ "targetingKey": "bob", "plan": "pro" }), true, "TARGETING_MATCH"),
        (json!({}), false, "DEFAULT"),
    ] {
        let single = evaluated("/paying", context.clone()).await;
        assert_eq!((&single["value"], &single["reason"]), (&json!(value), &json!(reason)), "{context}");
        let bulk = evaluated("", context.clone()).await;
        assert_eq!(
            (&bulk["flags"][0]["value"], &bulk["flags"][0]["reason"]),
            (&json!(value), &json!(reason)),
            "{context}"
        );
        assert_eq!(bulk["metadata"].get("flaggate_detail"), None);
    }
    assert_eq!(asked.load(SeqCst), 2, "each user is looked up once, and nobody in particular never");
    // A profile that cannot be had is told.
    let single = evaluated("/paying", json!({ "targetingKey": "eve" })).await;
    assert_eq!(
        (&single["value"], &single["metadata"]["flaggate_detail"]),
        (&json!(false), &json!("profile_unavailable"))
    );
    let bulk = evaluated("", json!({ "targetingKey": "eve" })).await;
    assert_eq!(bulk["metadata"]["flaggate_detail"], "profile_unavailable");
    // The entity tag stands for what is stored of the user too.
    let tag = async |user: &str| {
        let request = served.client.request(Method::POST, format!("http://{}/ofrep/v1/evaluate/flags", served.address));
        let answer = request.json(&json!({ "context": { "targetingKey": user } })).send().await.unwrap();
        answer.headers()["etag"].to_str().unwrap().to_owned()
    };
    assert_eq!(tag("ann").await, tag("ann").await);
    assert_ne!(tag("ann").await, tag("bob").await);
}

#[tokio::test]
async fn a_preview_uses_what_is_cached_and_looks_nothing_up() {
    let (served, asked) = served().await;
    let evaluate =
        async |user: &str| served.post("/flags/paying/evaluate", json!({ "user_id": user })).await.1["value"].clone();
    assert_eq!(
        (evaluate("ann").await, evaluate("bob").await, evaluate("eve").await),
        (json!(true), json!(false), json!(false))
    );
    let before = asked.load(SeqCst);
    let (status, told) = served.post("/flags/paying/preview", json!({ "patch": { "targeting_enabled": false } })).await;
    assert_eq!((status, &told["users"], &told["changed_users"]), (200, &json!(3), &json!(1)), "{told}");
    assert_eq!(told["examples"][0]["user_id"], "ann");
    assert_eq!(
        (&told["profiles"], &told["users_without_profile"]),
        (&json!("cached"), &json!(1)),
        "eve's is not there"
    );
    assert_eq!(asked.load(SeqCst), before);
}
