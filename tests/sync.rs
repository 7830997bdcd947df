//! The sync against real stores, and against a store that loses, doubles and fails.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use flaggate::{
    model::{DocumentKey, DocumentKind, WorldRevision},
    snapshot::{SnapshotCell, World},
    store::{
        AuditEntry, Contents, Expected, Follower, Hint, Hints, Intervals, MemoryStore, Store, StoreError, Stored,
        Subscription, SyncHandle, Write, Written,
    },
};
use jiff::Timestamp;

const SOON: Duration = Duration::from_secs(10);

fn put(key: &str, text: String) -> Write {
    Write {
        document: DocumentKey::flag(key),
        text: Some(text.into()),
        expected: Expected::Any,
        actor: "test".to_owned(),
        at: Timestamp::UNIX_EPOCH,
    }
}

fn flag(key: &str) -> Write {
    put(key, format!(r#"{{"key":"{key}"}}"#))
}

/// Starts a sync that compares often enough for a test.
fn start(store: Arc<dyn Store>) -> (SnapshotCell, SyncHandle) {
    let (cell, publisher) = SnapshotCell::new();
    let intervals = Intervals {
        compare: Duration::from_millis(50),
        first_retry: Duration::from_millis(5),
        longest_retry: Duration::from_millis(20),
    };
    let (follower, handle) = Follower::new(store, World::new(None), publisher, intervals);
    tokio::spawn(follower.run());
    (cell, handle)
}

#[tokio::test]
async fn changes_reach_the_cell() {
    let store = Arc::new(MemoryStore::new());
    let (cell, mut handle) = start(store.clone());
    assert!(handle.ready().await);
    let written = store.write(flag("a")).await.unwrap();
    assert!(handle.applied(&written.world, SOON).await);
    assert_eq!((cell.load().len(), cell.load().revision()), (1, Some(&written.world)));
    let gone = store.write(Write { text: None, ..flag("a") }).await.unwrap();
    assert!(handle.applied(&gone.world, SOON).await);
    assert!(cell.load().is_empty() && handle.status().alarm.is_none());
    assert!(!handle.applied(&WorldRevision { number: 99, ..gone.world }, Duration::from_millis(20)).await);
}

#[tokio::test]
async fn a_burst_ends_at_the_final_state() {
    let store = Arc::new(MemoryStore::new());
    let (cell, handle) = start(store.clone());
    let mut last = None;
    for number in 0..5_000 {
        last = Some(store.write(flag(&format!("f{}", number % 100))).await.unwrap().world);
    }
    assert!(handle.applied(&last.unwrap(), SOON).await);
    assert_eq!(cell.load().len(), 100);
}

/// A store whose hints are spoiled and that can be down or replaced.
struct Unreliable {
    inner: Mutex<Arc<MemoryStore>>,
    down: AtomicBool,
    /// 0: all hints pass; 1: none; 2: each twice; 3: every second.
    hints: Arc<AtomicU8>,
}

struct Spoiled {
    inner: Hints,
    mode: Arc<AtomicU8>,
    again: Option<Hint>,
    count: u64,
}

impl Unreliable {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Arc::new(MemoryStore::new())),
            down: AtomicBool::new(false),
            hints: Arc::default(),
        })
    }

    fn inner(&self) -> Result<Arc<MemoryStore>, StoreError> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("down".into())),
            false => Ok(Arc::clone(&self.inner.lock().unwrap())),
        }
    }
}

#[async_trait]
impl Store for Unreliable {
    async fn load(&self) -> Result<Contents, StoreError> {
        self.inner()?.load().await
    }
    async fn get(&self, document: &DocumentKey) -> Result<Option<Stored>, StoreError> {
        self.inner()?.get(document).await
    }
    async fn list(&self, kind: DocumentKind) -> Result<Vec<Stored>, StoreError> {
        self.inner()?.list(kind).await
    }
    async fn revision(&self) -> Result<WorldRevision, StoreError> {
        self.inner()?.revision().await
    }
    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        self.inner()?.write(write).await
    }
    async fn subscribe(&self) -> Result<Hints, StoreError> {
        let inner = self.inner()?.subscribe().await?;
        Ok(Box::new(Spoiled { inner, mode: Arc::clone(&self.hints), again: None, count: 0 }))
    }
    async fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.inner()?.audit(limit).await
    }
}

#[async_trait]
impl Subscription for Spoiled {
    async fn next(&mut self) -> Option<Hint> {
        if let Some(again) = self.again.take() {
            return Some(again);
        }
        loop {
            let hint = self.inner.next().await?;
            self.count += 1;
            match self.mode.load(Ordering::SeqCst) {
                1 => {}
                2 => {
                    self.again = Some(hint.clone());
                    return Some(hint);
                }
                3 if self.count.is_multiple_of(2) => {}
                _ => return Some(hint),
            }
        }
    }
}

#[tokio::test]
async fn lost_and_doubled_hints_are_made_good() {
    let store = Unreliable::new();
    let (cell, handle) = start(store.clone());
    for mode in 0..4 {
        store.hints.store(mode, Ordering::SeqCst);
        let mut last = None;
        for number in 0..50 {
            last = Some(store.write(flag(&format!("m{mode}-{number}"))).await.unwrap().world);
        }
        assert!(handle.applied(&last.unwrap(), SOON).await, "mode {mode}");
        assert_eq!(cell.load().len(), 50 * (usize::from(mode) + 1));
    }
}

#[tokio::test]
async fn a_lost_store_is_served_from_memory_and_followed_again() {
    let store = Unreliable::new();
    let (cell, handle) = start(store.clone());
    let written = store.write(flag("a")).await.unwrap();
    assert!(handle.applied(&written.world, SOON).await);
    store.down.store(true, Ordering::SeqCst);
    while handle.status().store_up {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((cell.load().len(), handle.status().last_error.as_deref()), (1, Some("the store is unavailable: down")));
    store.down.store(false, Ordering::SeqCst);
    let written = store.write(flag("b")).await.unwrap();
    assert!(handle.applied(&written.world, SOON).await);
    assert!(cell.load().len() == 2 && handle.status().store_up);
}

#[tokio::test]
async fn an_empty_store_never_wipes_a_good_snapshot_and_a_filled_one_does_replace_it() {
    let store = Unreliable::new();
    let (cell, handle) = start(store.clone());
    let written = store.write(flag("a")).await.unwrap();
    assert!(handle.applied(&written.world, SOON).await);
    *store.inner.lock().unwrap() = Arc::new(MemoryStore::new());
    while handle.status().alarm.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((cell.load().len(), cell.load().revision()), (1, Some(&written.world)));
    store.write(flag("b")).await.unwrap();
    while handle.status().alarm.is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(cell.load().keys().collect::<Vec<_>>(), ["b"]);
}
