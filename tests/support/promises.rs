//! What every store promises, whatever it lives in.

use std::{sync::Arc, time::Duration};

use flaggate::{
    model::{DocumentKey, DocumentKind, WorldRevision},
    store::{
        Action, Entries, Expected, Found, Gateway, Lease, Place, Store, StoreError, Stored, Write, Written,
        seed_if_empty,
    },
};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::timeout;

/// `contract!(module, home)`: a test of each promise, in `module`, of what `home()` gives.
/// `contract!(each store)`: all promises in turn, each of the store that `store(its name)` gives.
macro_rules! contract {
    ($module:ident, $home:path) => {
        contract! { @ ($module, $home) }
    };
    (each $store:expr) => {
        contract! { @ (each $store) }
    };
    (@ $what:tt) => {
        contract! {
            @ $what
            starts_empty
            reads_what_was_written
            compares_before_it_sets
            one_of_many_writers_wins
            audits_every_write
            hints_at_every_write_in_order
            takes_a_mebibyte
            keeps_the_audit_log_within_bounds
            seeds_only_what_was_never_written_to
            is_reseeded_as_a_whole_or_not_at_all
            knows_its_gateways
            tells_a_documents_history
            tells_the_audit_log_in_pages
            forgets_history_with_the_audit_log
            fences_who_lost_the_lease
        }
    };
    (@ ($module:ident, $home:path) $($promise:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let home = $home();
                crate::promises::$promise(home.store.clone()).await;
            })*
        }
    };
    (@ (each $store:expr) $($promise:ident)*) => {
        {$(crate::promises::$promise($store(stringify!($promise))).await;)*}
    };
}

pub(crate) fn write(key: &str, text: Option<&str>, expected: Expected) -> Write {
    Write {
        document: DocumentKey::flag(key),
        text: text.map(Into::into),
        expected,
        actor: "tester".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        fence: None,
    }
}

pub(crate) async fn put(store: &dyn Store, key: &str, text: &str) -> Written {
    store.write(write(key, Some(text), Expected::Any)).await.unwrap()
}

pub(crate) fn stored(key: &str, text: &str, revision: u64) -> Stored {
    Stored { document: DocumentKey::flag(key), text: text.into(), revision }
}

async fn found(store: &dyn Store, write: Write) -> Found {
    match store.write(write).await {
        Err(StoreError::Conflict { found, .. }) => found,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

pub(crate) async fn starts_empty(store: Arc<dyn Store>) {
    let contents = store.load().await.unwrap();
    assert_eq!((contents.revision.number, contents.documents), (0, Vec::new()));
    assert!(!contents.revision.epoch.is_empty());
    assert_eq!(store.get(&DocumentKey::flag("a")).await.unwrap(), None);
    assert_eq!(store.list(DocumentKind::Flag).await.unwrap(), []);
    assert_eq!(store.audit(10).await.unwrap(), []);
}

pub(crate) async fn reads_what_was_written(store: Arc<dyn Store>) {
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

pub(crate) async fn compares_before_it_sets(store: Arc<dyn Store>) {
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
    // No revision is used twice.
    assert_eq!(store.write(write("a", some, Expected::Absent)).await.unwrap().revision, 5);
    // What was refused left no trace.
    assert_eq!(store.revision().await.unwrap().number, 6);
    assert_eq!(store.audit(100).await.unwrap().len(), 6);
}

pub(crate) async fn one_of_many_writers_wins(store: Arc<dyn Store>) {
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

pub(crate) async fn audits_every_write(store: Arc<dyn Store>) {
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

pub(crate) async fn hints_at_every_write_in_order(store: Arc<dyn Store>) {
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

pub(crate) async fn takes_a_mebibyte(store: Arc<dyn Store>) {
    let text =
        format!("{{\"key\": \"a\", \"note\": \"{}\"}}", "\\u00e9x\"".replace('"', "'").repeat((1 << 20) / 8 - 8));
    assert!(text.len() > 1_000_000 && text.len() <= 1 << 20, "{}", text.len());
    for _ in 0..3 {
        put(&*store, "a", &text).await;
    }
    assert_eq!(&*store.get(&DocumentKey::flag("a")).await.unwrap().unwrap().text, text);
    assert_eq!(store.audit(1).await.unwrap()[0].after.as_deref(), Some(&*text));
}

pub(crate) async fn keeps_the_audit_log_within_bounds(store: Arc<dyn Store>) {
    let text = "x".repeat(8 << 20);
    for _ in 0..6 {
        put(&*store, "a", &text).await;
    }
    let audit = store.audit(100).await.unwrap();
    let bytes: usize = audit.iter().flat_map(|entry| [&entry.before, &entry.after]).flatten().map(|t| t.len()).sum();
    assert!((48 << 20..=64 << 20).contains(&bytes), "{bytes}");
    assert_eq!(audit[0].revision.number, 6, "the newest entry stays");
}

pub(crate) async fn seeds_only_what_was_never_written_to(store: Arc<dyn Store>) {
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

pub(crate) async fn is_reseeded_as_a_whole_or_not_at_all(store: Arc<dyn Store>) {
    for key in ["a", "b", "c"] {
        put(&*store, key, &format!("old {key}")).await;
    }
    let mut hints = store.subscribe().await.unwrap();
    let before = store.revision().await.unwrap();
    let documents = ["b", "c", "d"].map(|key| (DocumentKey::flag(key), Arc::from(format!("new {key}")))).to_vec();
    let elsewhere = WorldRevision { number: before.number + 1, ..before.clone() };
    let refused = store.reseed(&elsewhere, documents.clone(), "me", Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Moved { found, .. } if *found == before), "{refused}");
    assert_eq!(store.load().await.unwrap().revision, before, "nothing was done");

    let after = store.reseed(&before, documents.clone(), "me", Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(after.epoch != before.epoch && after.number > before.number, "{before} {after}");
    let contents = store.load().await.unwrap();
    let expected = vec![stored("b", "new b", 2), stored("c", "new c", 2), stored("d", "new d", 1)];
    assert_eq!((contents.revision, contents.documents), (after.clone(), expected));
    assert_eq!(store.revision().await.unwrap(), after);
    let hint = timeout(Duration::from_secs(5), hints.next()).await.unwrap().unwrap();
    assert_eq!(hint.revision, after, "one hint, at the new epoch");
    let mut audit = store.audit(4).await.unwrap();
    assert!(audit.iter().all(|entry| entry.actor == "me" && entry.revision.epoch == after.epoch), "{audit:?}");
    audit.sort_by(|left, right| left.document.cmp(&right.document));
    let changes: Vec<_> = audit.iter().map(|entry| (entry.before.as_deref(), entry.after.as_deref())).collect();
    let [b, c] = [(Some("old b"), Some("new b")), (Some("old c"), Some("new c"))];
    assert_eq!(changes, [(Some("old a"), None), b, c, (None, Some("new d"))]);

    let again = store.reseed(&before, documents, "me", Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert!(matches!(again, StoreError::Moved { .. }), "a reseed happens once: {again}");
    let next = put(&*store, "d", "newer").await;
    assert_eq!((next.revision, next.world.epoch, next.world.number), (2, after.epoch, after.number + 1));
    let emptied =
        store.reseed(&store.revision().await.unwrap(), Vec::new(), "me", Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!((store.load().await.unwrap().documents, emptied.number > next.world.number), (Vec::new(), true));
}

pub(crate) async fn knows_its_gateways(store: Arc<dyn Store>) {
    assert_eq!(store.gateways().await.unwrap(), []);
    let gateway = |id: &str, number: u64| Gateway {
        id: id.into(),
        name: format!("gate \"{id}\""),
        applied: Some(WorldRevision { epoch: "e".into(), number }),
        at: Timestamp::UNIX_EPOCH,
        admin: Some("127.0.0.1:9090".to_owned()),
        version: "1.2.3".to_owned(),
    };
    for beat in [gateway("b", 1), gateway("a", 1), gateway("b", 2)] {
        store.beat(&beat).await.unwrap();
    }
    let seen = store.gateways().await.unwrap();
    assert!(seen.iter().all(|seen| seen.is_live() && seen.age < Duration::from_secs(5)), "{seen:?}");
    let gateways: Vec<Gateway> = seen.into_iter().map(|seen| seen.gateway).collect();
    assert_eq!(gateways, [gateway("a", 1), gateway("b", 2)]);
    assert_eq!(store.revision().await.unwrap().number, 0, "a sign of life is no write");
}

pub(crate) async fn tells_a_documents_history(store: Arc<dyn Store>) {
    let a = DocumentKey::flag("a");
    put(&*store, "a", "one").await;
    put(&*store, "b", "other").await;
    put(&*store, "a", "two").await;
    store.write(write("a", None, Expected::Any)).await.unwrap();
    put(&*store, "b", "another").await;
    let back = put(&*store, "a", "three").await;
    let history = store.history(&a, 10).await.unwrap();
    let seen: Vec<_> = history
        .iter()
        .map(|entry| (entry.revision.number, entry.document_revision, entry.action, entry.after.as_deref()))
        .collect();
    let expected = [
        (6, 3, Action::Created, Some("three")),
        (4, 2, Action::Deleted, None),
        (3, 2, Action::Updated, Some("two")),
        (1, 1, Action::Created, Some("one")),
    ];
    assert_eq!(seen, expected);
    assert_eq!((back.revision, &history[0].revision), (3, &back.world));
    assert!(history.iter().all(|entry| entry.document == a), "{history:?}");
    assert_eq!(store.history(&a, 2).await.unwrap(), history[..2]);
    assert_eq!(store.history(&a, 0).await.unwrap(), []);
    assert_eq!(store.history(&DocumentKey::flag("never"), 10).await.unwrap(), []);
    let of_all = store.audit(10).await.unwrap();
    assert!(history.iter().all(|entry| of_all.contains(entry)), "{of_all:?}");
}

pub(crate) async fn tells_the_audit_log_in_pages(store: Arc<dyn Store>) {
    let b = DocumentKey::flag("b");
    for number in 0..40 {
        put(&*store, ["a", "b", "c"][number % 3], &number.to_string()).await;
    }
    for of in [None, Some(&b)] {
        let whole = match of {
            None => store.audit(100).await.unwrap(),
            Some(document) => store.history(document, 100).await.unwrap(),
        };
        let (mut paged, mut behind) = (Vec::new(), None::<Place>);
        loop {
            let page = store.entries(Entries { of, behind: behind.as_deref(), limit: 7 }).await.unwrap();
            let Some((last, _)) = page.last() else { break };
            behind = Some(last.clone());
            paged.extend(page.into_iter().map(|(_, entry)| entry));
            // What comes meanwhile moves nothing.
            put(&*store, "b", "meanwhile").await;
            assert!(paged.len() <= whole.len(), "{paged:?}");
        }
        assert_eq!(paged, whole);
    }
    for behind in ["", "x", "x:1", ":", "1-1", "0-0 0", "1-x", "99999999999999999999-1 1", "1 2", "\0", "+", "("] {
        for of in [None, Some(&b)] {
            let entries = store.entries(Entries { of, behind: Some(behind), limit: 5 }).await.unwrap();
            assert_eq!(entries, [], "behind {behind:?}, which nobody told");
        }
    }
    assert_eq!(store.entries(Entries::default()).await.unwrap(), []);
}

pub(crate) async fn forgets_history_with_the_audit_log(store: Arc<dyn Store>) {
    put(&*store, "first", "small").await;
    put(&*store, "a", "small").await;
    let text = "x".repeat(8 << 20);
    for _ in 0..6 {
        put(&*store, "a", &text).await;
    }
    let history = store.history(&DocumentKey::flag("a"), 100).await.unwrap();
    let audit = store.audit(100).await.unwrap();
    assert!(audit.len() < 8, "the oldest entries went: {}", audit.len());
    assert_eq!(history, audit, "what the audit log still has, and nothing else");
    assert_eq!(store.history(&DocumentKey::flag("first"), 100).await.unwrap(), []);
}

pub(crate) async fn fences_who_lost_the_lease(store: Arc<dyn Store>) {
    let long = Duration::from_secs(60);
    let under = |lease: &Lease| Write { fence: Some(lease.clone()), ..write("a", Some("{}"), Expected::Any) };
    let first = store.take_lease("first", long).await.unwrap();
    assert_eq!(&*first.holder, "first");
    assert_eq!(store.take_lease("first", long).await.unwrap(), first, "it is renewed");
    assert_eq!(store.take_lease("second", long).await.unwrap(), first, "one holds it at a time");
    store.write(under(&first)).await.unwrap();

    store.give_back_lease("second").await.unwrap();
    store.write(under(&first)).await.unwrap();
    // Short, and over before the next is asked: the first holder does not notice.
    let short = store.take_lease("first", Duration::from_millis(1)).await.unwrap();
    let second = timeout(Duration::from_secs(5), async {
        loop {
            match store.take_lease("second", long).await.unwrap() {
                lease if &*lease.holder == "second" => break lease,
                _ => tokio::task::yield_now().await,
            }
        }
    });
    let second = second.await.unwrap();
    assert!(second.number > short.number && short == first, "{first} {short} {second}");
    let before = store.load().await.unwrap();
    match store.write(under(&first)).await {
        Err(StoreError::Fenced { lease, held }) => assert_eq!((lease, held), (first.clone(), Some(second.clone()))),
        other => panic!("expected to be fenced, got {other:?}"),
    }
    let impostor = Lease { number: second.number, holder: "first".into() };
    assert!(matches!(store.write(under(&impostor)).await, Err(StoreError::Fenced { .. })));
    let ahead = Lease { number: second.number + 1, ..second.clone() };
    assert!(matches!(store.write(under(&ahead)).await, Err(StoreError::Fenced { .. })));
    let after = store.load().await.unwrap();
    assert_eq!((after.revision, after.documents), (before.revision, before.documents), "nothing was written");
    store.write(under(&second)).await.unwrap();
    store.write(write("a", Some("{}"), Expected::Any)).await.unwrap();

    store.give_back_lease("second").await.unwrap();
    assert!(matches!(store.write(under(&second)).await, Err(StoreError::Fenced { held: None, .. })));
    let third = store.take_lease("first", long).await.unwrap();
    assert!(third.number > second.number && &*third.holder == "first", "{third}");
    store.write(under(&third)).await.unwrap();
}
