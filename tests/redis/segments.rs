//! Segments that the service before left in Redis, a stored profile and live activity decide where a request goes: the
//! real gateway over a real Redis.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::HeaderMap};
use flaggate::store::{ProfileStore as _, RedisStore};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use crate::{
    others::leave,
    server::{Server, free_port},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// An upstream that says who it is and what it was told of segments.
async fn upstream(name: &'static str) -> SocketAddr {
    let told = async |State(name): State<&'static str>, headers: HeaderMap| {
        let told: Vec<&str> = headers.get_all("x-user-segments").iter().map(|value| value.to_str().unwrap()).collect();
        Json(json!({ "upstream": name, "segments": told }))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(told).with_state(name)).await });
    address
}

struct Gateway {
    web: String,
    admin: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

async fn start(server: &Server) -> Gateway {
    let [web, admin] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let (stable, canary) = (upstream("stable").await, upstream("canary").await);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("flaggate.toml");
    let text = format!(
        "context.accept_identity_from = \"anyone\"\ncontext.user_id = [{{ header = \"X-User-Id\" }}]\n\
         profiles.budget = \"1s\"\naccess_log.enabled = false\nadmin.address = \"{admin}\"\n\
         upstreams.stable.endpoints = [{{ address = \"{stable}\" }}]\n\
         upstreams.canary.endpoints = [{{ address = \"{canary}\" }}]\n\
         routes = [{{ name = \"shop\", upstream = \"stable\", flags = [\"bar\"], canary = {{ flag = \"help\", upstream = \"canary\" }} }}]\n\
         [[listeners]]\nname = \"web\"\naddress = \"{web}\"\n[store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\n",
        server.port
    );
    fs::write(&config, text).unwrap();
    let process = Command::new(env!("CARGO_BIN_EXE_flaggate"))
        .args(["run", "--config"])
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let gateway = Gateway { web, admin, process, _folder: folder };
    until(async || reqwest::get(format!("http://{}/", gateway.web)).await.is_ok()).await;
    gateway
}

async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the condition holds in time");
}

async fn post(gateway: &Gateway, path: &str, body: Value) {
    let answer =
        reqwest::Client::new().post(format!("http://{}{path}", gateway.admin)).json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
}

/// Which upstream a user reaches, and what that is told.
async fn ask(gateway: &Gateway, user: &str) -> (String, Value) {
    let request = reqwest::Client::new().get(format!("http://{}/", gateway.web)).header("X-User-Id", user);
    let told: Value = request.header("X-User-Segments", "spoofed").send().await.unwrap().json().await.unwrap();
    (told["upstream"].as_str().unwrap().to_owned(), told["segments"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_and_what_the_user_does_decide() {
    let server = Server::start(&[]);
    leave(&server);
    let profile = r#"{"lifetime_value": 812.5, "country": "DE"}"#;
    server.ask(&["HSET", "user_profile:eve", "attributes", profile, "behavioral_data", r#"{"purchase_count": 7.0}"#]);
    let gateway = start(&server).await;
    let abandoners = json!({ "id": "checkout_abandoners", "name": "Abandoners", "type": "dynamic", "priority": 20,
        "parent_segments": ["high_value_users"],
        "rules": [{ "field": "activity.page_duration_seconds", "operator": "greater_than", "value": 300 }] });
    post(&gateway, "/segments", abandoners).await;
    for (flag, segment) in [("help", "checkout_abandoners"), ("bar", "high_value_users")] {
        let rule = json!([{ "segments": [segment], "return_value": true }]);
        post(
            &gateway,
            "/flags",
            json!({ "key": flag, "name": flag, "targeting_enabled": true, "targeting_rules": rule }),
        )
        .await;
    }
    assert_eq!(ask(&gateway, "eve").await, ("stable".to_owned(), json!(["high_value_users"])));
    assert_eq!(ask(&gateway, "bob").await, ("stable".to_owned(), json!([])));
    let members = async |query: &str| {
        let url = format!("http://{}/users/eve/segments{query}", gateway.admin);
        reqwest::get(url).await.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(members("").await, json!({ "user_id": "eve", "segments": ["high_value_users"] }));

    let store = RedisStore::new(server.config());
    let activity = json!({ "current_page": "/checkout/pay", "page_duration_seconds": 301 });
    store.put_activity("eve", activity.as_object().unwrap(), Duration::from_secs(600)).await.unwrap();
    until(async || ask(&gateway, "eve").await.0 == "canary").await;
    let told = json!(["checkout_abandoners,high_value_users"]);
    assert_eq!(ask(&gateway, "eve").await.1, told, "once, those of the highest priority first");
    let why = members("?explain=true").await;
    assert_eq!(why["segments"], json!(["checkout_abandoners", "high_value_users"]));
    assert_eq!(why["details"][0]["rules"][0]["seen"], 301);

    store.put_activity("eve", &serde_json::Map::new(), Duration::from_secs(600)).await.unwrap();
    until(async || ask(&gateway, "eve").await.0 == "stable").await;
}
