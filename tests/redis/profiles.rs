//! Profiles in Redis, and those that the service that was there before left.

use std::{collections::BTreeSet, sync::Arc};

use flaggate::{
    model::{Attribute, Profile},
    store::{Count, Cursor, Patched, ProfilePatch, ProfileStore, RedisStore, Unwritten},
};
use jiff::Timestamp;
use serde_json::json;

use crate::{cluster::Cluster, server::Server};

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
