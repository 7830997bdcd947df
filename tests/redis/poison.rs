//! Documents that nobody should be able to write, written straight into Redis.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use flaggate::store::{RedisStore, Store};
use serde_json::json;

use crate::{
    following::{Following, flag},
    server::Server,
};

/// Ten times this many kinds.
pub(crate) const EACH: usize = 50;

/// One poisoned document of each kind: the command that leaves it.
pub(crate) fn poison(number: usize) -> Vec<Vec<Vec<u8>>> {
    let key = |kind: &str| format!("bad-{kind}-{number}");
    let rule =
        |operator: &str, value: &str| json!([{"attribute": "x", "operator": operator, "value": value, "of": number}]);
    let flag = |kind: &str, more: serde_json::Value| {
        let mut flag = json!({"key": key(kind), "enabled": true, "targeting_enabled": true});
        flag.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        flag.to_string()
    };
    let cut = flag("json", json!({"name": "x".repeat(number)}));
    let nested = format!(
        "{{\"key\": \"{}\", \"x\": {}{}}}",
        key("deep"),
        "[".repeat(40 << (number % 8)),
        "]".repeat(40 << (number % 8))
    );
    let ring = format!("bad-cycle-{}", (number + 1) % EACH);
    let hash = |kind: &str, text: Vec<u8>| {
        vec![b"HSET".to_vec(), format!("flag:{}", key(kind)).into_bytes(), b"config".to_vec(), text]
    };
    let other =
        [&["LPUSH", "x"][..], &["SET", "x"], &["SADD", "x"], &["ZADD", "1", "x"], &["XADD", "*", "x", "y"]][number % 5];
    let mut other_type: Vec<Vec<u8>> = other.iter().map(|word| word.as_bytes().to_vec()).collect();
    other_type.insert(1, format!("flag:{}", key("type")).into_bytes());
    vec![
        hash("json", cut.as_bytes()[..cut.len() - 1 - number].to_vec()),
        hash("regex", flag("regex", json!({"targeting_rules": rule("regex", "(a|b")})).into_bytes()),
        hash("cycle", flag("cycle", json!({"prerequisites": [ring]})).into_bytes()),
        hash("operator", flag("operator", json!({"targeting_rules": rule("resembles", "b")})).into_bytes()),
        hash("long", flag("long", json!({"name": "x".repeat((1 << 20) + number * 40_000)})).into_bytes()),
        hash("bytes", [flag("bytes", json!({})).as_bytes(), &[0xc3, 0x28, 0xff]].concat()),
        hash("deep", nested.into_bytes()),
        hash("name", flag("another", json!({})).into_bytes()),
        vec![b"HSET".to_vec(), format!("flag:{}", key("bare")).into_bytes(), b"created_at".to_vec(), b"x".to_vec()],
        other_type,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_poisoned_documents_are_all_reported_and_hinder_no_good_one() {
    let server = Server::start(&[]);
    let store = Arc::new(RedisStore::new(server.config()).reconcile_every(Duration::ZERO));
    let following = Following::start(store.clone());
    assert!(following.handle.ready().await);
    let mut bad = BTreeSet::new();
    for number in 0..EACH {
        let good = format!(r#"{{"key":"good-{number}","enabled":true,"default_value":"yes","flag_type":"string"}}"#);
        server.ask(&["HSET", &format!("flag:good-{number}"), "config", &good]);
        for command in poison(number) {
            bad.insert(String::from_utf8_lossy(&command[1]["flag:".len()..]).into_owned());
            server.ask_bytes(&command.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
    // The other half of the good ones comes the usual way.
    for number in EACH..2 * EACH {
        let text = format!(r#"{{"key":"good-{number}","enabled":true,"default_value":"yes","flag_type":"string"}}"#);
        store.write(crate::following::put(&format!("good-{number}"), &text)).await.unwrap();
    }
    assert_eq!(bad.len(), 500);
    let revision = store.revision().await.unwrap();
    following.reaches(&revision).await;
    let snapshot = following.cell.load();
    let reported: BTreeSet<String> =
        snapshot.diagnostics().map(|diagnostic| diagnostic.document.key.to_string()).collect();
    assert_eq!(reported, bad, "each of them, and none besides");
    for number in 0..2 * EACH {
        assert_eq!(following.value(&format!("good-{number}")), Some(json!("yes")));
    }
    let long = snapshot.diagnostics().find(|diagnostic| &*diagnostic.document.key == "bad-long-0").unwrap();
    assert!(long.fault.message.ends_with("bytes long; at most 1048576 are read"), "{long:?}");
    let other = snapshot.diagnostics().find(|diagnostic| &*diagnostic.document.key == "bad-type-0").unwrap();
    assert_eq!(other.fault.message, "its key in Redis is a list, not a hash");

    // Nothing of it comes back as a change, and a poisoned one can be replaced by a good one.
    assert_eq!(store.revision().await.unwrap(), revision);
    for key in ["bad-type-0", "bad-long-0", "bad-bytes-0", "bad-bare-0", "bad-json-0"] {
        let written = store.write(flag(key)).await.unwrap();
        following.reaches(&written.world).await;
    }
    assert_eq!(following.cell.load().diagnostics().filter(|found| found.document.key.ends_with("-0")).count(), 5);
    following.end().await;
}
