//! People are told, whenever a conductor dies.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use flaggate::clock;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

use crate::{
    gateway::{Gateway, PATIENCE, Upstream},
    server::Server,
};

type Told = Arc<Mutex<Vec<Value>>>;

/// A webhook: where it is, and what it is told.
async fn hook() -> (SocketAddr, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, told) = (listener.local_addr().unwrap(), Told::default());
    let kept = Arc::clone(&told);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = Vec::new();
            // The body is a JSON object, and ends with it.
            while !seen.ends_with(b"}") && stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {}
            let text = String::from_utf8(seen).unwrap();
            if let Some(body) = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok()) {
                kept.lock().unwrap().push(body);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok();
            }
        }
    });
    (address, told)
}

/// The conductor dies each time that it has stored something and told nobody of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_conductor_that_died_did_not_tell_the_next_one_tells() {
    let (redis, upstream, (hook, told)) = (Server::start(&[]), Upstream::start().await, hook().await);
    let upstreams = ["stable", "canary", "blue", "green"].map(|name| (name, &upstream));
    let more = format!(
        "outbound.allow = [\"{hook}\"]\noutbound.networks = [\"127.0.0.0/8\"]\noutbound.channels.ops.url = \"http://{hook}/\""
    );
    let mut dying = Gateway::start_with("dying", redis.port, &upstreams, &more, Vec::new()).await;
    let fails = vec![("FLAGGATE_FAIL_AT", "after_status:1:KILL".to_owned())];
    dying.fill().await;
    dying.kill();
    dying.environment = fails;
    assert!(dying.run().await);
    let document = json!({ "id": "told", "name": "Told", "notification_channels": ["ops"], "stages": [
        { "name": "s", "strategy": "feature_flag",
          "config": { "flag_key": "feature", "rollout_stages": [{ "percentage": 100 }] },
          "gates": [{ "type": "manual", "required_approvers": ["anonymous"] }] } ] });
    dying.post("/deployments", &document).await;
    dying.post("/deployments/told/start", &Value::Null).await;
    let status = || -> Value {
        let text = redis.ask(&["HGET", "deployment:told", "document"]);
        serde_json::from_str::<Value>(&text).unwrap()["status"].take()
    };
    let (began, mut deaths) = (clock::monotonic(), 0);
    loop {
        let now = status();
        if now["state"] == "completed" && now["news"].is_null() {
            break;
        }
        assert!(clock::monotonic() - began < 2 * PATIENCE, "{now:#}");
        if dying.is_dead() {
            deaths += 1;
            assert!(dying.run().await, "{}", dying.log());
            if now["state"] == "validating" && now["stages"][0]["approvals"].is_null() {
                dying.send("POST", "/deployments/told/approve", &Value::Null).await;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for notice in told.lock().unwrap().iter() {
        let text = |name: &str| notice[name].as_str().unwrap().to_owned();
        let known = seen.insert(text("id"), text("type"));
        assert!(known.is_none_or(|known| known == text("type")), "an id is of one notice");
    }
    let mut kinds: Vec<&str> = seen.values().map(String::as_str).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["flaggate.deployment_completed", "flaggate.deployment_validating"],
        "{:?}",
        told.lock().unwrap()
    );
    println!("{deaths} deaths, {} notices of {} news", told.lock().unwrap().len(), seen.len());
    assert!(deaths >= 4, "{deaths}");
}
