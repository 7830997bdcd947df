//! Profiles in Redis, and those that the service that was there before left.

use std::{collections::BTreeSet, sync::Arc};

use flaggate::{
    model::{Attribute, Profile},
    store::{Count, Cursor, Patched, ProfilePatch, ProfileStore, RedisStore, Unwritten},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    cluster::Cluster,
    proxy::{Fault, Proxy},
    replicas::{Gateway, PATIENCE, until, upstream},
    server::Server,
};

/// A store of profiles, and its server.
pub(crate) struct Home {
    pub(crate) profiles: Arc<dyn ProfileStore>,
    _server: Server,
}

pub(crate) fn one_server() -> Home {
    let server = Server::start(&[]);
    Home { profiles: Arc::new(RedisStore::new(server.config())), _server: server }
}

profile_contract!(one_server_keeps_it, crate::profiles::one_server);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_it() {
    let cluster = Cluster::start();
    profile_contract!(each |promise: &str| {
        Arc::new(RedisStore::new(cluster.config(&format!("{{{promise}}}*[")))) as Arc<dyn ProfileStore>
    });
}

#[tokio::test]
async fn what_was_there_before_is_read() {
    let server = Server::start(&[]);
    let store = RedisStore::new(server.config());
    let hash = ["HSET", "user_profile:u1", "attributes", r#"{"country": "DE", "lifetime_value": 812.5}"#];
    let rest = ["behavioral_data", r#"{"purchase_count": 7.0}"#, "segment_memberships", r#"["high_value_users"]"#];
    server.ask(&[&hash[..], &rest[..], &["last_updated", "2026-11-24T05:26:11.942215"]].concat());
    server.ask(&["SET", "user_activity:u1", r#"{"current_page": "/checkout/pay"}"#, "EX", "600"]);
    let found = store.profile("u1").await.unwrap().unwrap();
    assert_eq!(found.attribute("lifetime_value"), Some(Attribute::Float(812.5)));
    assert_eq!(found.attribute("purchase_count"), Some(Attribute::Float(7.0)));
    assert_eq!(found.attribute("activity.current_page"), Some(Attribute::Text("/checkout/pay")));

    server.ask(&["HSET", "user_profile:u2", "attributes", "broken", "behavioral_data", r#"{"n": 1}"#]);
    let found = store.profile("u2").await.unwrap().unwrap();
    assert_eq!(found.attribute("n"), Some(Attribute::Integer(1)));
    server.ask(&["SET", "user_profile:u3", "of another type"]);
    assert!(store.profile("u3").await.is_err());
    assert!(store.profile("u1").await.is_ok(), "one broken profile hinders no other");

    let kept = store.stored_profile("u1").await.unwrap().unwrap();
    assert_eq!(kept.segment_memberships, ["high_value_users"]);
    assert_eq!(kept.last_updated.unwrap().to_string(), "2026-11-24T05:26:11.942215Z");
    server.ask(&["HSET", "user_profile:u1", "of_another_program", "stays"]);
    let mut profile = kept.profile;
    profile.attributes.insert("country".to_owned(), "FR".into());
    store.put_profile("u1", &profile, Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(server.ask(&["HGET", "user_profile:u1", "segment_memberships"]), r#"["high_value_users"]"#);
    assert_eq!(server.ask(&["HGET", "user_profile:u1", "last_updated"]), "1970-01-01T00:00:00.000000");
    assert_eq!(server.ask(&["HGET", "user_profile:u1", "of_another_program"]), "stays");
}

fn patch(name: &str) -> ProfilePatch {
    let attributes = json!({ name: 1 }).as_object().cloned().unwrap();
    ProfilePatch { attributes, ..ProfilePatch::default() }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_written_over() {
    let server = Server::start(&[]);
    let store = RedisStore::new(server.config());
    let text = r#"{"score": NaN, "plan": "pro"}"#;
    server.ask(&["HSET", "user_profile:u1", "attributes", text, "behavioral_data", r#"{"n":  1}"#]);
    assert_eq!(store.patch_profile("u1", &patch("a"), Timestamp::UNIX_EPOCH).await.unwrap(), Patched::Unreadable);
    assert_eq!(server.ask(&["HGET", "user_profile:u1", "attributes"]), text);
    // What is not touched does not matter.
    let counted = ProfilePatch { behavioral_data: patch("m").attributes, ..ProfilePatch::default() };
    assert_eq!(store.patch_profile("u1", &counted, Timestamp::UNIX_EPOCH).await.unwrap(), Patched::Updated);
    assert_eq!(
        server.ask(&["HMGET", "user_profile:u1", "attributes", "behavioral_data"]),
        format!("{text}\n{{\"n\":1,\"m\":1}}")
    );
    assert!(!store.put_profile("u1", &Profile::default(), Timestamp::UNIX_EPOCH).await.unwrap());
    assert_eq!(server.ask(&["HGET", "user_profile:u1", "attributes"]), "{}");

    server.ask(&["SET", "user_profile:u2", "of another type"]);
    for failed in [
        store.put_profile("u2", &Profile::default(), Timestamp::UNIX_EPOCH).await.unwrap_err(),
        store.patch_profile("u2", &patch("a"), Timestamp::UNIX_EPOCH).await.unwrap_err(),
    ] {
        assert!(failed.to_string().contains("WRONGTYPE"), "{failed}");
    }
    let batch: Vec<_> = (0..600).map(|number| (format!("u{number}"), Profile::default())).collect();
    let unwritten = store.put_profiles(&batch, Timestamp::UNIX_EPOCH).await.unwrap();
    let [Unwritten { position: 2, why }] = unwritten.as_slice() else { panic!("{unwritten:?}") };
    assert!(why.contains("WRONGTYPE"), "{why}");
    assert_eq!(server.ask(&["GET", "user_profile:u2"]), "of another type");
    assert_eq!(store.count_profiles().await.unwrap(), Count { number: 599, exact: true });
}

#[tokio::test]
async fn a_scan_passes_over_what_is_no_profile() {
    let server = Server::start(&["--enable-debug-command", "local"]);
    let store = RedisStore::new(server.config());
    server.ask(&["DEBUG", "POPULATE", "20000", "flag"]);
    server.ask(&["SET", "user_profile:u1", "of another type"]);
    server.ask_bytes(&[b"HSET", b"user_profile:\xff", b"attributes", b"{}"]);
    for number in 2..40 {
        server.ask(&["HSET", &format!("user_profile:u{number}"), "attributes", "broken"]);
    }
    let (mut seen, mut after, mut calls) = (BTreeSet::new(), None, 0);
    loop {
        let (page, next) = store.scan(after.as_ref(), 10).await.unwrap();
        seen.extend(page.into_iter().map(|(user, _)| user));
        (after, calls) = (next, calls + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (2..40).map(|number| format!("u{number}")).collect());
    assert!(calls < 100, "{calls} calls");
}

#[tokio::test]
async fn a_cursor_of_another_life_begins_anew() {
    let mut server = Server::start(&[]);
    let store = RedisStore::new(server.config());
    let batch: Vec<_> = (0..300).map(|number| (format!("u{number}"), Profile::default())).collect();
    store.put_profiles(&batch, Timestamp::UNIX_EPOCH).await.unwrap();
    let (_, after) = store.scan(None, 100).await.unwrap();
    assert!(after.is_some());
    server.kill();
    server.resume();
    // The connection that is gone fails once.
    assert!(store.scan(after.as_ref(), 100).await.is_err());
    store.put_profiles(&batch, Timestamp::UNIX_EPOCH).await.unwrap();
    for mut after in [after, Some(Cursor::new("nonsense")), Some(Cursor::new(""))] {
        let mut seen = BTreeSet::new();
        loop {
            let (page, next) = store.scan(after.as_ref(), 100).await.unwrap();
            seen.extend(page.into_iter().map(|(user, _)| user));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 300);
    }
}

#[tokio::test]
async fn very_many_are_estimated() {
    let server = Server::start(&["--enable-debug-command", "local"]);
    let store = RedisStore::new(server.config());
    server.ask(&["DEBUG", "POPULATE", "90000", "user_profile"]);
    server.ask(&["DEBUG", "POPULATE", "60000", "flag"]);
    let Count { number, exact: false } = store.count_profiles().await.unwrap() else { panic!("it is counted") };
    // Five standard deviations of 2 000 draws.
    assert!((81_000..=99_000).contains(&number), "{number}");
}

/// A gateway whose one flag asks for what is stored: users with the plan `pro` go to `canary`.
pub(crate) async fn asks_profiles(port: u16) -> Gateway {
    let upstreams = [upstream("stable").await, upstream("canary").await];
    let section = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"");
    let gateway = Gateway::start(upstreams, &section, "").await;
    gateway.until_store("the store answers", |store| store["store_up"] == true).await;
    let rule = json!({ "attribute": "plan", "operator": "equals", "value": "pro" });
    let flag = json!({ "key": "canary", "name": "Canary", "targeting_enabled": true, "targeting_rules": [rule] });
    let (status, answer) = gateway.ask("POST", "/flags?wait=all", Some(flag)).await;
    assert_eq!(status, 200, "{answer}");
    gateway
}

/// How many look-ups had no answer in time.
pub(crate) async fn unavailable(gateway: &Gateway) -> u64 {
    let (_, metrics) = gateway.ask("GET", "/metrics", None).await;
    let name = "flaggate_profile_lookups_total{result=\"unavailable\"} ";
    let line = metrics.as_str().unwrap().lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_while_profiles_do_not_come() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port).await;
    // Nobody is told of this, so that nobody forgets it again.
    server.ask(&["HSET", "user_profile:ann", "attributes", r#"{"plan": "pro"}"#]);
    let gateway = asks_profiles(proxy.port()).await;
    server.wait_until(|server| server.ask(&["PUBSUB", "NUMSUB", "flaggate:users"]).ends_with('1'));
    let mut client = gateway.client();
    until("ann is looked up in time", async || gateway.client().get("ann").await.as_deref() == Some("canary")).await;
    let before = unavailable(&gateway).await;
    proxy.become_of(Fault::HalfOpen);
    // Until it is noticed that changes may be missed.
    assert_eq!(client.get("ann").await.as_deref(), Some("canary"), "what is known is known");
    // More than may be looked up at once.
    for number in 0..300 {
        assert_eq!(client.get(&format!("user-{number}")).await.as_deref(), Some("stable"), "{number}");
    }
    assert_eq!(unavailable(&gateway).await - before, 300);
    proxy.become_of(Fault::None);
    until("profiles come again", async || {
        let (status, _) = gateway.ask("PUT", "/profiles/bob", Some(json!({ "attributes": { "plan": "pro" } }))).await;
        status < 300 && gateway.client().get("bob").await.as_deref() == Some("canary")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_the_store_stops_says_where_to_go_on() {
    let mut server = Server::start(&[]);
    let gateway = asks_profiles(server.port).await;
    let chunk = |from: usize, to: usize| -> String {
        let lines: String = (from..to).map(|number| format!("{{\"user_id\": \"u{number}\"}}\n")).collect();
        format!("{:x}\r\n{lines}\r\n", lines.len())
    };
    let mut stream = TcpStream::connect(gateway.admin).await.unwrap();
    let head =
        "POST /profiles:batch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all((head.to_owned() + &chunk(0, 1000)).as_bytes()).await.unwrap();
    server.wait_until(|server| server.ask(&["EXISTS", "user_profile:u999"]) == "1");
    server.kill();
    stream.write_all((chunk(1000, 2500) + "0\r\n\r\n").as_bytes()).await.unwrap();
    let mut told = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut told)).await.unwrap().unwrap();
    let last =
        told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).rfind(Value::is_object).unwrap();
    // The server may have died before it said that it had them.
    let done = last["done"].as_u64().unwrap();
    assert!(done == 0 || done == 1000, "{last}");
    assert_eq!((&last["failed"], &last["complete"]), (&json!(0), &json!(false)), "{last}");
    assert_eq!(last["resume_at_line"], done + 1);
    assert!(last["error"].as_str().unwrap().contains("unavailable"), "{last}");
    // Of a store that is known to be down, the status tells.
    let request = reqwest::Client::new().post(format!("http://{}/profiles:batch", gateway.admin));
    assert_eq!(request.send().await.unwrap().status(), 503);
}
