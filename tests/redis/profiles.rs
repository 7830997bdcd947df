//! Profiles in Redis, and those that the service that was there before left.

use std::sync::Arc;

use flaggate::{
    model::Attribute,
    store::{ProfileStore as _, RedisStore},
};

use crate::{profile_promises::keeps_its_promises, server::Server};

#[tokio::test]
async fn profiles_keep_their_promises() {
    let server = Server::start(&[]);
    keeps_its_promises(Arc::new(RedisStore::new(server.config()))).await;
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

    let mut kept = store.profile("u1").await.unwrap().unwrap();
    kept.attributes.insert("country".to_owned(), "FR".into());
    store.put_profile("u1", &kept, jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(server.ask(&["HGET", "user_profile:u1", "segment_memberships"]), r#"["high_value_users"]"#);
    assert_eq!(server.ask(&["HGET", "user_profile:u1", "last_updated"]), "1970-01-01T00:00:00.000000");
}
