//! What the service before, or anyone with a client, leaves in Redis.

use std::{sync::Arc, time::Duration};

use flaggate::{
    model::{Context, DocumentKey, DocumentKind, FlagDocument, NoAttributes, WithProfile, unreadable},
    snapshot::World,
    store::{Action, Expected, Found, ProfileStore as _, RedisStore, Store, StoreError},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    following::{Following, flag, put},
    server::Server,
};

fn store(server: &Server) -> RedisStore {
    RedisStore::new(server.config()).reconcile_every(Duration::ZERO)
}

/// Writes what the service before left, as it is in `tests/data/redis-v1.json`.
pub(crate) fn leave(server: &Server) -> Map<String, Value> {
    let dump: Map<String, Value> = serde_json::from_str(include_str!("../data/redis-v1.json")).unwrap();
    for (key, entry) in &dump {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let words: Vec<String> = match (entry["type"].as_str().unwrap(), &entry["value"]) {
            ("hash", Value::Object(fields)) => {
                let fields = fields.iter().flat_map(|(name, value)| [name.clone(), text(value)]);
                ["HSET".to_owned(), key.clone()].into_iter().chain(fields).collect()
            }
            ("set", Value::Array(members)) => {
                ["SADD".to_owned(), key.clone()].into_iter().chain(members.iter().map(text)).collect()
            }
            (_, value) => vec!["SET".to_owned(), key.clone(), text(value)],
        };
        server.ask(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    dump
}

#[tokio::test]
async fn what_the_service_before_left_is_read_and_written_on() {
    let server = Server::start(&[]);
    let dump = leave(&server);
    let store = store(&server);
    let contents = store.load().await.unwrap();
    let kinds = ["flag:", "segment:", "ml_model:"];
    let left: Vec<&String> = dump.keys().filter(|key| kinds.iter().any(|kind| key.starts_with(kind))).collect();
    assert_eq!(contents.documents.len(), left.len());
    for stored in &contents.documents {
        let (field, kind) = match stored.document.kind {
            DocumentKind::Flag => ("config", "flag"),
            DocumentKind::Segment => ("definition", "segment"),
            DocumentKind::MlModel | DocumentKind::KillSwitch | DocumentKind::Deployment => continue,
        };
        let left = &dump[&format!("{kind}:{}", stored.document.key)]["value"][field];
        assert_eq!(left.as_str(), Some(&*stored.text), "not a letter of it is changed");
    }
    let documents = contents.documents.into_iter().map(|stored| (stored.document, stored.text));
    let snapshot = World::new(None).load(contents.revision.clone(), documents);
    // That service wrote a placeholder for its model, and a segment with a parent that does not exist.
    let wrong: Vec<String> = snapshot.diagnostics().map(|found| found.document.to_string()).collect();
    let (model, waits, orphan) = (r#"ml_model "churn_prediction_v1""#, "at_risk_churn", "mobile_power_users");
    assert_eq!(wrong, [model.to_owned(), format!("segment {waits:?}"), format!("segment {orphan:?}")]);
    let profile = store.profile("u1").await.unwrap().unwrap();
    let known = WithProfile::new(&NoAttributes, Some(&profile));
    let context = Context { user_id: "u1", attributes: &known, now: Timestamp::UNIX_EPOCH };
    assert_eq!(snapshot.memberships(context), ["high_value_users"]);
    let attributes = Map::new();
    for key in snapshot.keys() {
        let context = Context { user_id: "u", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
        assert!(snapshot.evaluator(context).evaluate(snapshot.flag(key).unwrap()).is_some(), "{key}");
    }

    // One of them is changed, with a field that only a later version knows.
    let document = DocumentKey::flag("checkout-canary");
    let found = store.get(&document).await.unwrap().unwrap();
    let mut fields = FlagDocument::parse(&found.text).unwrap().fields().clone();
    fields.insert("of_a_later_version".to_owned(), json!({"deep": [1, 2.5]}));
    fields.insert("tags".to_owned(), json!(["canary", "new"]));
    let text = Value::Object(fields).to_string();
    let write =
        flaggate::store::Write { expected: Expected::Revision(found.revision), ..put("checkout-canary", &text) };
    let written = store.write(write).await.unwrap();
    assert_eq!(*store.get(&document).await.unwrap().unwrap().text, *text);
    let field = |name| server.ask(&["HGET", "flag:checkout-canary", name]);
    assert_eq!(field("created_at"), "2026-11-24T05:26:11.865844");
    assert_eq!(field("evaluation_count"), "2");
    assert_eq!((field("config"), field("updated_by")), (text, "tester".to_owned()));
    assert_eq!(field("revision"), written.revision.to_string());
    let tagged = |tag: &str| server.ask(&["SMEMBERS", &format!("tag:{tag}")]);
    assert_eq!(
        [tagged("canary"), tagged("new"), tagged("checkout")],
        ["checkout-canary", "checkout-canary", "checkout-color"]
    );

    store.write(flag("brand-new")).await.unwrap();
    let made = ["created_at", "evaluation_count"].map(|name| server.ask(&["HGET", "flag:brand-new", name]));
    assert_eq!(made, ["1970-01-01T00:00:00.000000", "0"]);
    for key in ["checkout-canary", "brand-new"] {
        store.write(flaggate::store::Write { text: None, ..flag(key) }).await.unwrap();
        assert_eq!(server.ask(&["EXISTS", &format!("flag:{key}")]), "0");
    }
    assert_eq!((tagged("canary"), tagged("new")), (String::new(), String::new()));
    let is_ours = |key: &str| ["flag:", "tag:", "segments:type:"].iter().any(|kind| key.starts_with(kind));
    for (key, entry) in dump.iter().filter(|(key, _)| !is_ours(key)) {
        assert_eq!(server.ask(&["TYPE", key]), entry["type"].as_str().unwrap(), "{key}");
    }
}

/// The sets of segments by type are written under their plain names, and left in that service's spelling as well.
#[tokio::test]
async fn a_segment_of_the_service_before_is_changed_and_removed() {
    let server = Server::start(&[]);
    leave(&server);
    let store = store(&server);
    let document = DocumentKey::segment("new_users");
    let found = store.get(&document).await.unwrap().unwrap();
    let text = found.text.replace("rule_based", "dynamic");
    let write = |text: Option<&str>| flaggate::store::Write {
        document: document.clone(),
        text: text.map(Into::into),
        expected: Expected::Any,
        ..put("", "")
    };
    let of_type = |name: &str| server.ask(&["SISMEMBER", &format!("segments:type:{name}"), "new_users"]);
    assert_eq!(of_type("SegmentType.RULE_BASED"), "1");
    store.write(write(Some(&text))).await.unwrap();
    let types = ["SegmentType.RULE_BASED", "rule_based", "dynamic"];
    assert_eq!(types.map(of_type), ["0", "0", "1"]);
    let field = |name| server.ask(&["HGET", "segment:new_users", name]);
    assert_eq!((field("definition"), field("created_at")), (text, "2026-11-24T05:26:11.873385".to_owned()));
    assert_eq!((field("evaluation_count"), field("config")), (String::new(), String::new()));
    assert_eq!(*store.history(&document, 1).await.unwrap()[0].before.clone().unwrap(), *found.text);
    store.write(write(None)).await.unwrap();
    assert_eq!((of_type("dynamic"), server.ask(&["EXISTS", "segment:new_users"])), ("0".to_owned(), "0".to_owned()));
}

#[tokio::test]
async fn what_others_write_change_and_remove_is_adopted() {
    let server = Server::start(&[]);
    let store = store(&server);
    store.write(flag("ours")).await.unwrap();
    let mut hints = store.subscribe().await.unwrap();
    let start = store.revision().await.unwrap();
    let steps: [(&[&str], Action, Option<&str>); 4] = [
        (&["HSET", "flag:theirs", "config", "one"], Action::Created, Some("one")),
        (&["HSET", "flag:theirs", "config", "two"], Action::Updated, Some("two")),
        (&["HSET", "flag:ours", "config", "three"], Action::Updated, Some("three")),
        (&["DEL", "flag:theirs"], Action::Deleted, None),
    ];
    for (number, (command, action, text)) in (1..).zip(steps) {
        server.ask(command);
        let revision = store.revision().await.unwrap();
        assert_eq!((&revision.epoch, revision.number), (&start.epoch, start.number + number), "{command:?}");
        assert_eq!(store.revision().await.unwrap(), revision, "once is enough");
        let hint = hints.next().await.unwrap();
        assert_eq!((&hint.revision, hint.action), (&revision, action));
        assert_eq!(format!("flag:{}", hint.document.key), command[1]);
        let entry = store.audit(1).await.unwrap().remove(0);
        assert_eq!((&*entry.actor, entry.action, entry.after.as_deref()), ("external", action, text));
        assert_eq!(store.get(&hint.document).await.unwrap().map(|stored| stored.text).as_deref(), text);
    }
    assert_eq!(store.list(DocumentKind::Flag).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_take_turns_and_all_learn_what_one_of_them_found() {
    let server = Server::start(&[]);
    let follow = || Following::start(Arc::new(RedisStore::new(server.config())));
    let following = [follow(), follow(), follow()];
    for found in &following {
        assert!(found.handle.ready().await);
    }
    for value in ["one", "two"] {
        let text = format!(r#"{{"key":"theirs","flag_type":"string","default_value":"{value}"}}"#);
        server.ask(&["HSET", "flag:theirs", "config", &text]);
        for found in &following {
            found.until(value, |_| found.value("theirs") == Some(json!(value))).await;
        }
    }
    let numbers = following.each_ref().map(|found| found.cell.load().revision().unwrap().number);
    assert_eq!(numbers, [2, 2, 2], "each change was adopted once");
    assert_eq!(server.ask(&["DEL", "flag:theirs"]), "1");
    for found in following {
        found.until("gone", |_| found.value("theirs").is_none()).await;
        found.end().await;
    }
}

#[tokio::test]
async fn who_did_not_see_what_others_wrote_does_not_write_over_it() {
    let server = Server::start(&[]);
    let store = store(&server);
    let written = store.write(flag("a")).await.unwrap();
    // It keeps the field `revision`, as it does not know it.
    server.ask(&["HSET", "flag:a", "config", "theirs"]);
    let stale = flaggate::store::Write { expected: Expected::Revision(written.revision), ..flag("a") };
    let conflict = store.write(stale).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { found: Found::Revision(2), .. }), "{conflict}");
    let seen = store.get(&DocumentKey::flag("a")).await.unwrap().unwrap();
    assert_eq!((&*seen.text, seen.revision), ("theirs", 2));
    // Removed and made anew by something else, a document does not begin again at a revision that it had.
    server.ask(&["DEL", "flag:a"]);
    server.ask(&["HSET", "flag:a", "config", "again"]);
    assert_eq!(store.get(&DocumentKey::flag("a")).await.unwrap().unwrap().revision, 3);
}

#[tokio::test]
async fn a_lost_revision_is_a_new_life_and_removes_nothing() {
    let server = Server::start(&[]);
    let store = store(&server);
    for key in ["a", "b"] {
        store.write(flag(key)).await.unwrap();
    }
    let before = store.revision().await.unwrap();
    server.ask(&["DEL", "flaggate:revision", "flag:b"]);
    let after = store.revision().await.unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert!(store.audit(100).await.unwrap().iter().all(|entry| entry.action != Action::Deleted));
    server.ask(&["FLUSHALL"]);
    let emptied = store.revision().await.unwrap();
    assert_eq!(emptied.number, 0);
    assert_ne!(emptied.epoch, after.epoch);
}

#[tokio::test]
async fn damage_is_told_and_not_written_over() {
    let server = Server::start(&[]);
    let store = store(&server);
    store.write(flag("a")).await.unwrap();
    for spoil in [["SET", "flaggate:revision", "nonsense"], ["LPUSH", "flaggate:revision", "x"]] {
        server.ask(&["DEL", "flaggate:revision"]);
        server.ask(&spoil);
        for error in [store.load().await.err(), store.write(flag("a")).await.err(), store.revision().await.err()] {
            assert!(matches!(error, Some(StoreError::Damaged(_))), "{error:?}");
        }
    }
    assert_eq!(server.ask(&["HGET", "flag:a", "revision"]), "1", "nothing was done");
}

#[tokio::test]
async fn prefixes_keep_stores_apart() {
    let server = Server::start(&[]);
    let with_prefix = |prefix: &str| {
        let config = flaggate::config::Redis { key_prefix: prefix.to_owned(), ..server.config() };
        RedisStore::new(config).reconcile_every(Duration::ZERO)
    };
    let stores = ["", "a*", "a?", "[ab]", "{t}:"].map(with_prefix);
    let mut hints = Vec::new();
    for store in &stores {
        hints.push(store.subscribe().await.unwrap());
    }
    for (number, store) in stores.iter().enumerate() {
        store.write(flag(&format!("f{number}"))).await.unwrap();
    }
    for (number, (store, hints)) in stores.iter().zip(&mut hints).enumerate() {
        let contents = store.load().await.unwrap();
        let keys: Vec<&str> = contents.documents.iter().map(|stored| &*stored.document.key).collect();
        assert_eq!((keys, contents.revision.number), (vec![&*format!("f{number}")], 1));
        assert_eq!(hints.next().await.unwrap().revision, contents.revision);
    }
}

#[tokio::test]
async fn what_is_no_text_is_shown_and_hinders_nothing() {
    let server = Server::start(&[]);
    let store = Arc::new(store(&server));
    store.write(flag("good")).await.unwrap();
    server.ask_bytes(&[b"HSET", b"flag:\xff", b"config", b"{}"]);
    server.ask_bytes(&[b"HSET", b"flag:bytes", b"config", b"{\"key\": \"\xfe\"}"]);
    let documents = store.load().await.unwrap().documents;
    let text =
        |key: &str| documents.iter().find(|stored| &*stored.document.key == key).map(|stored| stored.text.clone());
    assert_eq!(text("\u{fffd}"), Some(unreadable("its key in Redis is not UTF-8")));
    assert_eq!(text("bytes"), Some(unreadable("the text is not UTF-8")));
    let following = Following::start(store.clone());
    assert!(following.handle.ready().await);
    assert_eq!(following.value("good"), Some(json!(false)));
    // A message that is no hint harms nobody.
    server.ask(&["PUBLISH", "flaggate:changes", "hello"]);
    let written = store.write(flag("better")).await.unwrap();
    following.reaches(&written.world).await;
    following.end().await;
}
