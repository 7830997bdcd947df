//! Segments over one Redis: who moves at one gateway is told at another.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    replicas::{Gateway, upstream},
    server::Server,
};

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_at_one_gateway_is_told_at_another() {
    let redis = Server::start(&[]);
    let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"", redis.port);
    let upstreams = [upstream("stable").await, upstream("canary").await];
    let (one, other) = (Gateway::start(upstreams, &store, "").await, Gateway::start(upstreams, &store, "").await);
    for gateway in [&one, &other] {
        gateway.until_store("the store is loaded", |store| store["store_up"] == true).await;
    }
    let rules = json!([{ "field": "plan", "operator": "equals", "value": "pro" }]);
    let segment = json!({ "id": "pro", "name": "Pro", "rules": rules });
    assert_eq!(one.ask("POST", "/segments?wait=all", Some(segment)).await.0, 201);
    // The other one listens to moves once its feed has begun; that is told by the first that it hears.
    let url = format!("http://{}/events?subscribe=segments", other.admin);
    let mut events = reqwest::get(url).await.unwrap();
    let mut text = String::new();
    let heard = async {
        for number in 0.. {
            let path = format!("/profiles/user-{number}");
            assert_eq!(one.ask("PUT", &path, Some(json!({ "attributes": { "plan": "pro" } }))).await.0, 201);
            while let Ok(more) = timeout(Duration::from_millis(400), events.chunk()).await {
                text.push_str(std::str::from_utf8(&more.unwrap().unwrap()).unwrap());
                if let Some(line) =
                    text.lines().find(|line| line.starts_with("data: ") && line.contains("segment_entered"))
                {
                    return serde_json::from_str::<Value>(line.strip_prefix("data: ").unwrap_or("null")).unwrap();
                }
            }
        }
        unreachable!()
    };
    let entered = timeout(Duration::from_secs(20), heard).await.unwrap();
    assert_eq!((&entered["segment_id"], &entered["type"]), (&json!("pro"), &json!("segment_entered")), "{entered}");
    let (_, profile) = other.ask("GET", "/profiles/user-0", None).await;
    assert_eq!(profile["segment_memberships"], json!(["pro"]), "{profile}");
    assert_eq!(redis.ask(&["HGET", "user_profile:user-0", "segment_memberships"]), r#"["pro"]"#);
    let (_, estimate) = other.ask("POST", "/segments/pro/estimate?wait=all", Some(json!({}))).await;
    assert_eq!(estimate["estimate"], estimate["total"], "{estimate}");
}
