//! The contract of every store, and what the embedded one promises besides.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, sync::Arc};

use flaggate::{
    model::{DocumentKey, DocumentKind},
    store::{Action, EmbeddedStore, Expected, Found, MemoryStore, Store, StoreError, Write, seed_if_empty},
};
use jiff::Timestamp;
use serde_json::json;

fn write(key: &str, text: Option<&str>, expected: Expected) -> Write {
    Write {
        document: DocumentKey::flag(key),
        text: text.map(Into::into),
        expected,
        actor: "test".to_owned(),
        at: Timestamp::UNIX_EPOCH,
    }
}

/// Runs one test over every store.
async fn over_every_store<F: Future<Output = ()>>(test: impl Fn(Arc<dyn Store>) -> F) {
    test(Arc::new(MemoryStore::new())).await;
    let folder = tempfile::tempdir().unwrap();
    test(Arc::new(EmbeddedStore::open(&folder.path().join("a/b/store.redb")).unwrap())).await;
}

#[tokio::test]
async fn a_write_is_a_compare_and_set() {
    over_every_store(async |store: Arc<dyn Store>| {
        let created = store.write(write("a", Some("1"), Expected::Absent)).await.unwrap();
        assert_eq!((created.revision, created.world.number), (1, 1));
        let updated = store.write(write("a", Some("2"), Expected::Revision(1))).await.unwrap();
        assert_eq!((updated.revision, updated.world.number), (2, 2));
        for (expected, found) in [(Expected::Absent, Found::Revision(2)), (Expected::Revision(1), Found::Revision(2))] {
            let error = store.write(write("a", Some("x"), expected)).await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict { found: seen, .. } if seen == found), "{error}");
        }
        let error = store.write(write("b", Some("x"), Expected::Present)).await.unwrap_err();
        assert_eq!(error.to_string(), "flag \"b\" is absent");
        assert_eq!(store.revision().await.unwrap(), updated.world);
        let stored = store.get(&DocumentKey::flag("a")).await.unwrap().unwrap();
        assert_eq!((&*stored.text, stored.revision), ("2", 2));
        store.write(write("a", None, Expected::Present)).await.unwrap();
        assert_eq!(store.get(&DocumentKey::flag("a")).await.unwrap(), None);
        assert!(store.write(write("a", None, Expected::Any)).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn of_many_writers_exactly_one_wins_each_round() {
    over_every_store(async |store: Arc<dyn Store>| {
        store.write(write("a", Some("0"), Expected::Absent)).await.unwrap();
        for round in 1..=10 {
            let writers = (0..8).map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.write(write("a", Some("x"), Expected::Revision(round))).await.is_ok() })
            });
            let mut won = 0;
            for writer in writers.collect::<Vec<_>>() {
                won += usize::from(writer.await.unwrap());
            }
            assert_eq!(won, 1, "round {round}");
        }
    })
    .await;
}

#[tokio::test]
async fn contents_are_sorted_and_of_one_moment() {
    over_every_store(async |store: Arc<dyn Store>| {
        for key in ["b", "c", "a"] {
            store.write(write(key, Some(key), Expected::Absent)).await.unwrap();
        }
        let contents = store.load().await.unwrap();
        let keys: Vec<&str> = contents.documents.iter().map(|stored| &*stored.document.key).collect();
        assert_eq!((keys, contents.revision.number), (vec!["a", "b", "c"], 3));
        assert_eq!(store.list(DocumentKind::Flag).await.unwrap(), contents.documents);
    })
    .await;
}

#[tokio::test]
async fn the_audit_log_has_every_change_newest_first() {
    over_every_store(async |store: Arc<dyn Store>| {
        store.write(write("a", Some("1"), Expected::Absent)).await.unwrap();
        store.write(write("a", Some("2"), Expected::Any)).await.unwrap();
        assert!(store.write(write("a", Some("3"), Expected::Absent)).await.is_err());
        store.write(write("a", None, Expected::Any)).await.unwrap();
        let audit = store.audit(10).await.unwrap();
        let seen: Vec<_> = audit
            .iter()
            .map(|entry| (entry.action, entry.before.as_deref(), entry.after.as_deref(), entry.revision.number))
            .collect();
        assert_eq!(
            seen,
            [
                (Action::Deleted, Some("2"), None, 3),
                (Action::Updated, Some("1"), Some("2"), 2),
                (Action::Created, None, Some("1"), 1),
            ]
        );
        assert_eq!(store.audit(1).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn every_write_hints_in_its_order() {
    over_every_store(async |store: Arc<dyn Store>| {
        let mut hints = store.subscribe().await.unwrap();
        let writers: Vec<_> = (0..50)
            .map(|number| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    store.write(write(&format!("f{number}"), Some("x"), Expected::Absent)).await.unwrap()
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let mut keys = BTreeSet::new();
        for number in 1..=50 {
            let hint = hints.next().await.unwrap();
            assert_eq!((hint.revision.number, hint.action), (number, Action::Created));
            keys.insert(hint.document.key);
        }
        assert_eq!(keys.len(), 50);
    })
    .await;
}

#[tokio::test]
async fn large_documents_and_odd_keys_are_kept() {
    over_every_store(async |store: Arc<dyn Store>| {
        let text = "x".repeat(1 << 20);
        for key in ["", "a/b:c", "flág-日本"] {
            store.write(write(key, Some(&text), Expected::Absent)).await.unwrap();
            assert_eq!(store.get(&DocumentKey::flag(key)).await.unwrap().unwrap().text.len(), text.len());
        }
    })
    .await;
}

#[tokio::test]
async fn only_a_store_without_history_is_seeded() {
    over_every_store(async |store: Arc<dyn Store>| {
        let bad = [json!({"key": "a"}), json!({"name": "x"})];
        let error = seed_if_empty(&*store, &bad, "seed", Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert_eq!(error.to_string(), "document 1 of the seed: /key: the key is missing");
        assert_eq!(store.revision().await.unwrap().number, 0);
        let good = [json!({"key": "a"}), json!({"key": "b"})];
        assert_eq!(seed_if_empty(&*store, &good, "seed", Timestamp::UNIX_EPOCH).await.unwrap(), 2);
        for key in ["a", "b"] {
            store.write(write(key, None, Expected::Any)).await.unwrap();
        }
        assert_eq!(seed_if_empty(&*store, &good, "seed", Timestamp::UNIX_EPOCH).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn the_embedded_store_keeps_everything_and_belongs_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    store.write(write("a", Some("1"), Expected::Absent)).await.unwrap();
    let before = store.load().await.unwrap();
    let Err(second) = EmbeddedStore::open(&path) else { panic!("the file was opened twice") };
    assert!(second.to_string().contains("another process holds the file"), "{second}");
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    let after = store.load().await.unwrap();
    assert_eq!((after.revision, after.documents), (before.revision, before.documents));
    assert_eq!(store.audit(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    std::fs::write(&path, "this is no database".repeat(1_000)).unwrap();
    let Err(error) = EmbeddedStore::open(&path) else { panic!("it was opened") };
    assert!(matches!(error, StoreError::Damaged(_)) && error.to_string().contains("move the file away"), "{error}");
}
