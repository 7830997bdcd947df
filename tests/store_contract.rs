//! One contract that every store keeps, and what the embedded one promises besides.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use flaggate::{
    config::{self, StoreKind},
    model::{DocumentKey, DocumentKind},
    store::{
        Action, EmbeddedStore, Expected, Found, MemoryStore, Store, StoreError, Stored, Write, Written, open,
        seed_if_empty,
    },
};
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::timeout;

/// A store, and the folder that it may live in.
struct Home {
    store: Arc<dyn Store>,
    _folder: TempDir,
}

fn memory() -> Home {
    Home { store: Arc::new(MemoryStore::new()), _folder: tempfile::tempdir().unwrap() }
}

fn embedded() -> Home {
    let folder = tempfile::tempdir().unwrap();
    Home { store: Arc::new(EmbeddedStore::open(&folder.path().join("store.redb")).unwrap()), _folder: folder }
}

fn write(key: &str, text: Option<&str>, expected: Expected) -> Write {
    Write {
        document: DocumentKey::flag(key),
        text: text.map(Into::into),
        expected,
        actor: "tester".to_owned(),
        at: Timestamp::UNIX_EPOCH,
    }
}

async fn put(store: &dyn Store, key: &str, text: &str) -> Written {
    store.write(write(key, Some(text), Expected::Any)).await.unwrap()
}

fn stored(key: &str, text: &str, revision: u64) -> Stored {
    Stored { document: DocumentKey::flag(key), text: text.into(), revision }
}

async fn found(store: &dyn Store, write: Write) -> Found {
    match store.write(write).await {
        Err(StoreError::Conflict { found, .. }) => found,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

async fn starts_empty(store: Arc<dyn Store>) {
    let contents = store.load().await.unwrap();
    assert_eq!((contents.revision.number, contents.documents), (0, Vec::new()));
    assert!(!contents.revision.epoch.is_empty());
    assert_eq!(store.get(&DocumentKey::flag("a")).await.unwrap(), None);
    assert_eq!(store.list(DocumentKind::Flag).await.unwrap(), []);
    assert_eq!(store.audit(10).await.unwrap(), []);
}

async fn reads_what_was_written(store: Arc<dyn Store>) {
    for key in ["b", "a", "c", "a/b:c", "A", "é", ""] {
        put(&*store, key, &format!("{{\"key\": \"{key}\"}}")).await;
    }
    put(&*store, "b", "two").await;
    store.write(write("c", None, Expected::Any)).await.unwrap();
    let documents = vec![
        stored("", r#"{"key": ""}"#, 1),
        stored("A", r#"{"key": "A"}"#, 1),
        stored("a", r#"{"key": "a"}"#, 1),
        stored("a/b:c", r#"{"key": "a/b:c"}"#, 1),
        stored("b", "two", 2),
        stored("é", r#"{"key": "é"}"#, 1),
    ];
    let contents = store.load().await.unwrap();
    assert_eq!(contents.documents, documents);
    assert_eq!(store.list(DocumentKind::Flag).await.unwrap(), documents);
    assert_eq!(store.revision().await.unwrap(), contents.revision);
    assert_eq!(contents.revision.number, 9);
    assert_eq!(store.get(&DocumentKey::flag("b")).await.unwrap(), Some(stored("b", "two", 2)));
    assert_eq!(store.get(&DocumentKey::flag("c")).await.unwrap(), None);
}

async fn compares_before_it_sets(store: Arc<dyn Store>) {
    let store = &*store;
    let some = Some("{}");
    assert_eq!(found(store, write("a", some, Expected::Present)).await, Found::Absent);
    assert_eq!(found(store, write("a", some, Expected::Revision(1))).await, Found::Absent);
    assert_eq!(found(store, write("a", None, Expected::Any)).await, Found::Absent);
    assert_eq!(found(store, write("a", None, Expected::Absent)).await, Found::Absent);
    let created = store.write(write("a", some, Expected::Absent)).await.unwrap();
    assert_eq!((created.revision, created.world.number), (1, 1));
    assert_eq!(found(store, write("a", some, Expected::Absent)).await, Found::Revision(1));
    assert_eq!(found(store, write("a", some, Expected::Revision(2))).await, Found::Revision(1));
    assert_eq!(found(store, write("a", None, Expected::Revision(2))).await, Found::Revision(1));
    assert_eq!(store.write(write("a", some, Expected::Revision(1))).await.unwrap().revision, 2);
    assert_eq!(store.write(write("a", some, Expected::Present)).await.unwrap().revision, 3);
    assert_eq!(store.write(write("a", some, Expected::Any)).await.unwrap().revision, 4);
    assert_eq!(store.write(write("a", None, Expected::Revision(4))).await.unwrap().revision, 4);
    assert_eq!(store.write(write("a", some, Expected::Absent)).await.unwrap().revision, 1);
    // What was refused left no trace.
    assert_eq!(store.revision().await.unwrap().number, 6);
    assert_eq!(store.audit(100).await.unwrap().len(), 6);
}

async fn one_of_many_writers_wins(store: Arc<dyn Store>) {
    put(&*store, "a", "0").await;
    for round in 1..=5 {
        let writers = (0..16).map(|writer| {
            let store = store.clone();
            let text = format!("{round} {writer}");
            tokio::spawn(async move { store.write(write("a", Some(&text), Expected::Revision(round))).await })
        });
        let mut winners = Vec::new();
        for (writer, task) in writers.collect::<Vec<_>>().into_iter().enumerate() {
            match task.await.unwrap() {
                Ok(written) => winners.push((writer, written.revision)),
                Err(StoreError::Conflict { found, .. }) => assert_eq!(found, Found::Revision(round + 1)),
                Err(error) => panic!("{error}"),
            }
        }
        let [(winner, revision)] = winners[..] else { panic!("one writer wins, not {winners:?}") };
        let text = format!("{round} {winner}");
        assert_eq!(store.get(&DocumentKey::flag("a")).await.unwrap(), Some(stored("a", &text, revision)));
    }
    assert_eq!(store.revision().await.unwrap().number, 6);
}

async fn audits_every_write(store: Arc<dyn Store>) {
    put(&*store, "a", "one").await;
    put(&*store, "a", "two").await;
    let last = store.write(write("a", None, Expected::Any)).await.unwrap();
    let audit = store.audit(10).await.unwrap();
    let seen: Vec<_> = audit
        .iter()
        .map(|entry| (entry.revision.number, entry.action, entry.before.as_deref(), entry.after.as_deref()))
        .collect();
    let expected = [
        (3, Action::Deleted, Some("two"), None),
        (2, Action::Updated, Some("one"), Some("two")),
        (1, Action::Created, None, Some("one")),
    ];
    assert_eq!(seen, expected);
    assert_eq!(audit[0].revision, last.world);
    assert_eq!((&*audit[0].actor, audit[0].at), ("tester", Timestamp::UNIX_EPOCH));
    assert_eq!(audit[0].document, DocumentKey::flag("a"));
    assert_eq!(store.audit(2).await.unwrap(), audit[..2]);
    assert_eq!(store.audit(0).await.unwrap(), []);
}

async fn hints_at_every_write_in_order(store: Arc<dyn Store>) {
    put(&*store, "before", "{}").await;
    let mut subscriptions = [store.subscribe().await.unwrap(), store.subscribe().await.unwrap()];
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for value in 0..10 {
                put(&*store, &format!("flag-{writer}"), &value.to_string()).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert!(store.write(write("before", None, Expected::Absent)).await.is_err());
    let last = store.write(write("before", None, Expected::Any)).await.unwrap();
    for subscription in &mut subscriptions {
        for number in 2..=82 {
            let hint = timeout(Duration::from_secs(5), subscription.next()).await.unwrap().unwrap();
            assert_eq!(hint.revision.number, number);
            assert_eq!(hint.action == Action::Deleted, hint.revision == last.world);
            assert_eq!(
                hint.action == Action::Created,
                &*hint.document.key != "before" && is_first(&*store, &hint).await
            );
        }
        let more = timeout(Duration::from_millis(20), subscription.next()).await;
        assert!(more.is_err(), "a refused write is no change: {more:?}");
    }
}

/// Whether the audit log knows of no earlier text of what was hinted at.
async fn is_first(store: &dyn Store, hint: &flaggate::store::Hint) -> bool {
    let audit = store.audit(1000).await.unwrap();
    audit.iter().find(|entry| entry.revision == hint.revision).unwrap().before.is_none()
}

async fn takes_a_mebibyte(store: Arc<dyn Store>) {
    let text =
        format!("{{\"key\": \"a\", \"note\": \"{}\"}}", "\\u00e9x\"".replace('"', "'").repeat((1 << 20) / 8 - 8));
    assert!(text.len() > 1_000_000 && text.len() <= 1 << 20, "{}", text.len());
    for _ in 0..3 {
        put(&*store, "a", &text).await;
    }
    assert_eq!(&*store.get(&DocumentKey::flag("a")).await.unwrap().unwrap().text, text);
    assert_eq!(store.audit(1).await.unwrap()[0].after.as_deref(), Some(&*text));
}

async fn keeps_the_audit_log_within_bounds(store: Arc<dyn Store>) {
    let text = "x".repeat(8 << 20);
    for _ in 0..6 {
        put(&*store, "a", &text).await;
    }
    let audit = store.audit(100).await.unwrap();
    let bytes: usize = audit.iter().flat_map(|entry| [&entry.before, &entry.after]).flatten().map(|t| t.len()).sum();
    assert!((48 << 20..=64 << 20).contains(&bytes), "{bytes}");
    assert_eq!(audit[0].revision.number, 6, "the newest entry stays");
}

async fn seeds_only_what_was_never_written_to(store: Arc<dyn Store>) {
    let seed = [json!({"key": "a", "enabled": true}), json!({"key": "b", "of_a_later_version": 1})];
    let broken = [seed[0].clone(), json!({"enabled": true})];
    let now = Timestamp::UNIX_EPOCH;
    let refused = seed_if_empty(&*store, &broken, "seed", now).await.unwrap_err();
    assert!(refused.to_string().starts_with("document 1 of the seed"), "{refused}");
    assert_eq!(store.revision().await.unwrap().number, 0);
    assert_eq!(seed_if_empty(&*store, &seed, "seed", now).await.unwrap(), 2);
    let text = store.get(&DocumentKey::flag("b")).await.unwrap().unwrap().text;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), seed[1]);
    assert_eq!(store.audit(1).await.unwrap()[0].actor, "seed");
    for key in ["a", "b"] {
        store.write(write(key, None, Expected::Any)).await.unwrap();
    }
    assert_eq!(seed_if_empty(&*store, &seed, "seed", now).await.unwrap(), 0, "what was removed does not come back");
}

macro_rules! contract {
    ($($promise:ident),* $(,)?) => {
        mod memory_store {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let home = super::memory();
                super::$promise(home.store.clone()).await;
            })*
        }
        mod embedded_store {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let home = super::embedded();
                super::$promise(home.store.clone()).await;
            })*
        }
    };
}

contract!(
    starts_empty,
    reads_what_was_written,
    compares_before_it_sets,
    one_of_many_writers_wins,
    audits_every_write,
    hints_at_every_write_in_order,
    takes_a_mebibyte,
    keeps_the_audit_log_within_bounds,
    seeds_only_what_was_never_written_to,
);

#[tokio::test]
async fn each_memory_store_is_a_life_of_its_own() {
    let revisions = [MemoryStore::new().revision().await.unwrap(), MemoryStore::new().revision().await.unwrap()];
    assert_ne!(revisions[0].epoch, revisions[1].epoch);
}

fn opened(kind: StoreKind) -> Result<Arc<dyn Store>, StoreError> {
    open(&config::Store { kind, backup: None, seed: None })
}

#[tokio::test]
async fn a_file_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/yet/there/store.redb");
    let kind = StoreKind::Embedded { path };
    let store = opened(kind.clone()).unwrap();
    put(&*store, "a", "one").await;
    put(&*store, "a", "two").await;
    put(&*store, "b", "three").await;
    let (contents, audit) = (store.load().await.unwrap(), store.audit(10).await.unwrap());
    drop(store);
    let store = opened(kind).unwrap();
    let again = store.load().await.unwrap();
    assert_eq!((again.revision, again.documents), (contents.revision.clone(), contents.documents));
    assert_eq!(store.audit(10).await.unwrap(), audit);
    let next = store.write(write("a", Some("four"), Expected::Revision(2))).await.unwrap();
    assert!(next.world.may_follow(&contents.revision) && next.world.number == 4, "the epoch goes on: {next:?}");
}

#[test]
fn a_file_that_this_process_holds_is_not_opened_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let _held = EmbeddedStore::open(&path).unwrap();
    refused_as_held(&path);
}

#[test]
fn a_file_that_another_process_holds_is_not_opened() {
    const HOLD: &str = "HOLD_THIS_STORE";
    if let Some(path) = std::env::var_os(HOLD) {
        let _held = EmbeddedStore::open(path.as_ref()).unwrap();
        println!("held");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut holder = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_file_that_another_process_holds_is_not_opened", "--nocapture"])
        .env(HOLD, &path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufRead::lines(std::io::BufReader::new(holder.stdout.take().unwrap()));
    assert!(said.any(|line| line.unwrap().ends_with("held")), "the other process failed");
    refused_as_held(&path);
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    EmbeddedStore::open(&path).expect("nobody holds it now");
}

fn refused_as_held(path: &std::path::Path) {
    let Err(error) = EmbeddedStore::open(path) else { panic!("it was opened") };
    let message = error.to_string();
    assert!(matches!(error, StoreError::Unavailable(_)), "{message}");
    assert!(message.contains("another process holds the file") && message.contains("store.redb"), "{message}");
}

#[test]
fn a_file_that_is_no_store_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    for content in [&b"not a store"[..], &[0; 4096], &b"x".repeat(100_000)] {
        std::fs::write(&path, content).unwrap();
        let Err(error) = EmbeddedStore::open(&path) else { panic!("it was opened") };
        let message = error.to_string();
        assert!(matches!(error, StoreError::Damaged(_)), "{message}");
        assert!(message.contains("store.redb") && message.contains("move the file away"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    let Err(error) = EmbeddedStore::open(folder.path()) else { panic!("a folder was opened") };
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_within_a_file_is_an_error_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    for key in 0..50 {
        put(&store, &format!("flag-{key}"), &"x".repeat(2000)).await;
    }
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    let mut seen = 0;
    for at in (0..whole.len()).step_by(whole.len() / 70) {
        let mut bent = whole.clone();
        let until = (at + 64).min(whole.len());
        bent[at..until].iter_mut().for_each(|byte| *byte ^= 0xa5);
        std::fs::write(&path, &bent).unwrap();
        // Either it is still right, or it says that it is not; what it must not do is to end the process.
        let errors = match EmbeddedStore::open(&path) {
            Err(error) => vec![Some(error)],
            Ok(store) => vec![
                store.load().await.err(),
                store.audit(100).await.err(),
                store.write(write("flag-1", Some("{}"), Expected::Any)).await.err(),
            ],
        };
        for error in errors.into_iter().flatten() {
            assert!(matches!(error, StoreError::Damaged(_)), "{error}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} faults were seen");
}
