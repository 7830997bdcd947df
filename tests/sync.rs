//! The sync against real stores, and against a store that loses, doubles, delays, fails and goes back.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use flaggate::{
    model::{DocumentKey, DocumentKind, WorldRevision},
    snapshot::{Publisher, SnapshotCell},
    store::{
        AuditEntry, Contents, EmbeddedStore, Entries, Expected, Follower, Gateway, Hint, Hints, Lease, MemoryStore,
        Place, RefusedBecause, SeenGateway, Store, StoreError, Stored, Subscription, SyncHandle, SyncOptions,
        SyncStatus, Timing, Write, Written,
    },
};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};

const SOON: Duration = Duration::from_secs(10);

fn put(key: &str, text: String) -> Write {
    Write {
        document: DocumentKey::flag(key),
        text: Some(text.into()),
        expected: Expected::Any,
        actor: "test".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        fence: None,
    }
}

fn flag(key: &str) -> Write {
    put(key, format!(r#"{{"key":"{key}"}}"#))
}

/// Waits that suit a test.
fn options() -> SyncOptions {
    let timing = Timing {
        compare_every: Duration::from_millis(50),
        compare_after_hint: Duration::from_millis(20),
        pause_after_publish: Duration::from_millis(2),
        pause_most: Duration::from_millis(2),
        hints_within: Duration::from_millis(10),
        retry_first: Duration::from_millis(5),
        retry_most: Duration::from_millis(20),
    };
    let short = Duration::from_millis(20);
    SyncOptions { timing, answer_within: short * 10, backup_every: short, ..SyncOptions::default() }
}

/// A sync that runs, and what it publishes into.
struct Running {
    cell: SnapshotCell,
    handle: SyncHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn start(store: Arc<dyn Store>) -> Running {
    start_with(store, options())
}

fn start_with(store: Arc<dyn Store>, options: SyncOptions) -> Running {
    let (cell, publisher): (SnapshotCell, Publisher) = SnapshotCell::new();
    let (follower, handle) = Follower::new(store, publisher, options);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(follower.run(async { drop(stopped.await) }));
    Running { cell, handle, stop, task }
}

impl Running {
    fn keys(&self) -> Vec<String> {
        self.cell.load().keys().map(str::to_owned).collect()
    }

    /// Waits until the status is as asked.
    async fn until(&self, what: &str, asked: impl Fn(&SyncStatus) -> bool) -> SyncStatus {
        for _ in 0..5000 {
            let status = self.handle.status();
            if asked(&status) {
                return status;
            }
            sleep(Duration::from_millis(2)).await;
        }
        panic!("never: {what}: {:?}", self.handle.status())
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Down,
    Hangs,
}

/// What happens to hints on their way.
#[derive(Clone, Copy)]
enum Feed {
    Whole,
    Lost,
    Doubled,
    EverySecond,
    OneInTenLost,
    Reversed,
}

/// A store whose hints are spoiled and that can be down, hang or be replaced.
struct Unreliable {
    inner: Mutex<Arc<MemoryStore>>,
    mood: Mutex<Mood>,
    feed: Arc<Mutex<Feed>>,
    /// The revision that it claims, to play a store that went back.
    claims: Mutex<Option<WorldRevision>>,
    reads: AtomicUsize,
}

struct Spoiled {
    inner: Hints,
    feed: Arc<Mutex<Feed>>,
    ready: VecDeque<Hint>,
    held: Vec<Hint>,
}

impl Unreliable {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            mood: Mutex::new(Mood::Well),
            feed: Arc::new(Mutex::new(Feed::Whole)),
            claims: Mutex::default(),
            reads: AtomicUsize::new(0),
        })
    }

    fn become_of(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    async fn inner(&self) -> Result<Arc<MemoryStore>, StoreError> {
        self.reads.fetch_add(1, SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well => Ok(Arc::clone(&self.inner.lock().unwrap())),
            Mood::Down => Err(StoreError::Unavailable("down".into())),
            Mood::Hangs => std::future::pending().await,
        }
    }

    fn claimed(&self, revision: WorldRevision) -> WorldRevision {
        self.claims.lock().unwrap().clone().unwrap_or(revision)
    }
}

#[async_trait]
impl Store for Unreliable {
    async fn load(&self) -> Result<Contents, StoreError> {
        let contents = self.inner().await?.load().await?;
        Ok(Contents { revision: self.claimed(contents.revision), ..contents })
    }
    async fn read(&self, documents: &[DocumentKey]) -> Result<Vec<Stored>, StoreError> {
        self.inner().await?.read(documents).await
    }
    async fn list(&self, kind: DocumentKind) -> Result<Vec<Stored>, StoreError> {
        self.inner().await?.list(kind).await
    }
    async fn revision(&self) -> Result<WorldRevision, StoreError> {
        Ok(self.claimed(self.inner().await?.revision().await?))
    }
    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        self.inner().await?.write(write).await
    }
    async fn subscribe(&self) -> Result<Hints, StoreError> {
        let inner = self.inner().await?.subscribe().await?;
        let (ready, held) = (VecDeque::new(), Vec::new());
        Ok(Box::new(Spoiled { inner, feed: Arc::clone(&self.feed), ready, held }))
    }
    async fn entries(&self, wanted: Entries<'_>) -> Result<Vec<(Place, AuditEntry)>, StoreError> {
        self.inner().await?.entries(wanted).await
    }
    async fn take_lease(&self, holder: &str, within: Duration) -> Result<Lease, StoreError> {
        self.inner().await?.take_lease(holder, within).await
    }
    async fn give_back_lease(&self, holder: &str) -> Result<(), StoreError> {
        self.inner().await?.give_back_lease(holder).await
    }
    async fn reseed(
        &self,
        expected: &WorldRevision,
        documents: Vec<(DocumentKey, Arc<str>)>,
        actor: &str,
        at: Timestamp,
    ) -> Result<WorldRevision, StoreError> {
        self.inner().await?.reseed(expected, documents, actor, at).await
    }
    async fn beat(&self, gateway: &Gateway) -> Result<(), StoreError> {
        self.inner().await?.beat(gateway).await
    }
    async fn leave(&self, id: &str) -> Result<(), StoreError> {
        self.inner().await?.leave(id).await
    }
    async fn gateways(&self) -> Result<Vec<SeenGateway>, StoreError> {
        self.inner().await?.gateways().await
    }
}

#[async_trait]
impl Subscription for Spoiled {
    async fn next(&mut self) -> Option<Hint> {
        loop {
            if let Some(hint) = self.ready.pop_front() {
                return Some(hint);
            }
            let hint = self.inner.next().await?;
            let feed = *self.feed.lock().unwrap();
            match feed {
                Feed::Lost => {}
                Feed::EverySecond if hint.revision.number % 2 == 0 => {}
                Feed::OneInTenLost if hint.revision.number % 10 == 0 => {}
                Feed::Doubled => self.ready.extend([hint.clone(), hint]),
                Feed::Reversed if self.held.len() < 4 => self.held.push(hint),
                Feed::Reversed => {
                    self.ready.push_back(hint);
                    self.ready.extend(self.held.drain(..).rev());
                }
                Feed::Whole | Feed::EverySecond | Feed::OneInTenLost => return Some(hint),
            }
        }
    }
}

#[tokio::test]
async fn changes_reach_the_cell() {
    let store = Arc::new(MemoryStore::new());
    let running = start(store.clone());
    let mut revisions = running.handle.subscribe();
    assert!(!running.handle.is_ready());
    assert!(running.handle.ready().await && running.handle.is_ready());
    let written = store.write(flag("a")).await.unwrap();
    assert!(running.handle.applied(&written.world, SOON).await);
    assert_eq!((running.keys(), running.cell.load().revision()), (vec!["a".to_owned()], Some(&written.world)));
    assert!(revisions.wait_for(|revision| revision.as_ref() == Some(&written.world)).await.is_ok());
    let gone = store.write(Write { text: None, ..flag("a") }).await.unwrap();
    assert!(running.handle.applied(&gone.world, SOON).await);
    assert!(running.cell.load().is_empty());
    let status = running.handle.status();
    assert!(status.store_up && status.applied_at.is_some() && !status.from_backup, "{status:?}");
    assert_eq!((status.alarm, status.stale_since, status.last_error), (None, None, None));
    let later = WorldRevision { number: 99, ..gone.world };
    assert!(!running.handle.applied(&later, Duration::from_millis(20)).await);
    running.end().await;
}

#[tokio::test]
async fn a_broken_document_keeps_its_last_good_version_and_hinders_no_other() {
    let store = Arc::new(MemoryStore::new());
    let running = start(store.clone());
    let good = store.write(flag("a")).await.unwrap();
    assert!(running.handle.applied(&good.world, SOON).await);
    store.write(put("a", "{ not JSON".to_owned())).await.unwrap();
    let written = store.write(flag("b")).await.unwrap();
    assert!(running.handle.applied(&written.world, SOON).await);
    assert_eq!(running.keys(), ["a", "b"]);
    assert_eq!(running.cell.load().diagnostics().count(), 1);
}

#[tokio::test]
async fn a_burst_is_taken_in_a_few_steps_and_ends_at_the_final_state() {
    let store = Unreliable::new();
    let running = start_with(store.clone(), SyncOptions::default());
    assert!(running.handle.ready().await);
    let before = store.reads.load(SeqCst);
    let inner = store.inner.lock().unwrap().clone();
    let mut last = None;
    for number in 0..1000 {
        last = Some(inner.write(flag(&format!("f{}", number % 5))).await.unwrap().world);
    }
    assert!(running.handle.applied(&last.unwrap(), SOON).await);
    assert_eq!(running.cell.load().len(), 5);
    let reads = store.reads.load(SeqCst) - before;
    assert!(reads < 500, "{reads} reads for 1000 writes: hints that come during a compile make one next compile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_over_more_hints_than_a_subscriber_may_miss_ends_at_the_final_state() {
    let folder = tempfile::tempdir().unwrap();
    let embedded: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&folder.path().join("store.redb")).unwrap());
    for (store, writes) in [(Arc::new(MemoryStore::new()) as Arc<dyn Store>, 20_000), (embedded, 300)] {
        let running = start(store.clone());
        let mut last = None;
        for number in 0..writes {
            let key = format!("f{}", number % 50);
            last = Some(store.write(put(&key, format!(r#"{{"key":"{key}","name":"{number}"}}"#))).await.unwrap().world);
        }
        let last = last.unwrap();
        assert!(running.handle.applied(&last, SOON).await, "{:?}", running.handle.status());
        assert_eq!((running.cell.load().len(), running.cell.load().revision()), (50, Some(&last)));
        running.end().await;
    }
}

#[tokio::test]
async fn lost_doubled_and_reversed_hints_are_made_good() {
    let feeds =
        [Feed::Whole, Feed::Lost, Feed::Doubled, Feed::EverySecond, Feed::OneInTenLost, Feed::Reversed, Feed::Whole];
    let store = Unreliable::new();
    let running = start(store.clone());
    for (round, feed) in feeds.into_iter().enumerate() {
        *store.feed.lock().unwrap() = feed;
        let mut last = None;
        for number in 0..50 {
            last = Some(store.write(flag(&format!("{round}-{number}"))).await.unwrap().world);
            tokio::task::yield_now().await;
        }
        assert!(running.handle.applied(&last.unwrap(), SOON).await, "round {round}");
        assert_eq!(running.cell.load().len(), 50 * (round + 1));
    }
}

#[tokio::test]
async fn a_store_that_is_lost_or_hangs_is_served_from_memory_and_followed_again() {
    let store = Unreliable::new();
    let running = start(store.clone());
    let mut written = store.write(flag("0")).await.unwrap();
    for (round, (mood, error)) in [
        (Mood::Down, "the store is unavailable: down"),
        (Mood::Hangs, "the store does not answer"),
        (Mood::Down, "the store is unavailable: down"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(running.handle.applied(&written.world, SOON).await);
        running.until("in step", |status| status.store_up && status.stale_since.is_none()).await;
        store.become_of(mood);
        let status = running.until("lost", |status| !status.store_up).await;
        assert_eq!(status.last_error.as_deref(), Some(error));
        assert!(status.stale_since.is_some() && status.applied.is_some());
        assert_eq!(running.cell.load().len(), round + 1);
        // Written while the store is lost to the sync.
        let inner = store.inner.lock().unwrap().clone();
        written = inner.write(flag(&format!("{}", round + 1))).await.unwrap();
        store.become_of(Mood::Well);
    }
    assert!(running.handle.applied(&written.world, SOON).await);
    assert_eq!(running.keys(), ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn an_empty_store_never_wipes_a_good_snapshot_and_a_filled_one_does_replace_it() {
    let store = Unreliable::new();
    let running = start(store.clone());
    let written = store.write(flag("a")).await.unwrap();
    assert!(running.handle.applied(&written.world, SOON).await);
    *store.inner.lock().unwrap() = Arc::new(MemoryStore::new());
    let status = running.until("the alarm", |status| status.alarm.is_some()).await;
    assert_eq!(status.alarm.unwrap().because, RefusedBecause::Empty);
    assert!(status.stale_since.is_some());
    assert_eq!((running.keys(), running.cell.load().revision()), (vec!["a".to_owned()], Some(&written.world)));
    store.write(flag("b")).await.unwrap();
    running.until("the end of the alarm", |status| status.alarm.is_none()).await;
    let status = running.until("in step", |status| status.stale_since.is_none()).await;
    assert_ne!(status.applied.unwrap().epoch, written.world.epoch);
    assert_eq!(running.keys(), ["b"]);
}

#[tokio::test]
async fn a_store_that_went_back_is_not_served() {
    let store = Unreliable::new();
    let running = start(store.clone());
    store.write(flag("a")).await.unwrap();
    let written = store.write(flag("b")).await.unwrap();
    assert!(running.handle.applied(&written.world, SOON).await);
    *store.claims.lock().unwrap() = Some(WorldRevision { number: 1, ..written.world.clone() });
    let status = running.until("the alarm", |status| status.alarm.is_some()).await;
    let alarm = status.alarm.unwrap();
    assert_eq!((alarm.because, alarm.found.number), (RefusedBecause::Older, 1));
    assert_eq!(running.cell.load().revision(), Some(&written.world));
    *store.claims.lock().unwrap() = None;
    running.until("the end of the alarm", |status| status.alarm.is_none() && status.stale_since.is_none()).await;
}

/// A folder for a backup, and options that use it.
fn backed_up() -> (TempDir, PathBuf, SyncOptions) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("var/backup.json");
    let options = SyncOptions { backup: Some(path.clone()), ..options() };
    (folder, path, options)
}

#[tokio::test]
async fn the_backup_is_served_while_the_store_is_down_at_the_start() {
    let (_folder, path, options) = backed_up();
    let store = Unreliable::new();
    let running = start_with(store.clone(), options.clone());
    store.write(flag("a")).await.unwrap();
    let good = store.write(flag("b")).await.unwrap();
    assert!(running.handle.applied(&good.world, SOON).await);
    let written = store.write(put("b", "broken".to_owned())).await.unwrap();
    assert!(running.handle.applied(&written.world, SOON).await);
    // The end writes what the last tick did not.
    running.end().await;
    store.become_of(Mood::Down);
    let running = start_with(store.clone(), options.clone());
    assert!(running.handle.ready().await);
    let status = running.until("an error", |status| status.last_error.is_some()).await;
    assert!(status.from_backup && !status.store_up && status.stale_since.is_some(), "{status:?}");
    assert_eq!(status.applied.as_ref(), Some(&written.world));
    assert_eq!((running.keys(), running.cell.load().diagnostics().count()), (vec!["a".to_owned(), "b".into()], 0));
    let before = fs::read(&path).unwrap();
    store.become_of(Mood::Well);
    let status = running.until("the store", |status| !status.from_backup).await;
    assert_eq!(status.applied.as_ref(), Some(&written.world));
    assert_eq!(running.cell.load().diagnostics().count(), 1, "the broken document is in the store");
    running.end().await;
    assert_eq!(fs::read(&path).unwrap(), before, "the last good world is the same");
}

#[tokio::test]
async fn an_empty_store_at_the_start_does_not_wipe_the_backup() {
    let (_folder, path, options) = backed_up();
    let store = Arc::new(MemoryStore::new());
    let running = start_with(store.clone(), options.clone());
    store.write(flag("a")).await.unwrap();
    running.until("the write", |status| status.applied.as_ref().is_some_and(|applied| applied.number == 1)).await;
    running.end().await;
    let before = fs::read(&path).unwrap();
    let running = start_with(Arc::new(MemoryStore::new()), options);
    running.until("the alarm", |status| status.alarm.is_some() && status.from_backup).await;
    assert_eq!(running.keys(), ["a"]);
    running.end().await;
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_backup_is_ignored_and_stays_until_the_store_is_loaded() {
    let (_folder, path, options) = backed_up();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{").unwrap();
    let store = Unreliable::new();
    store.become_of(Mood::Down);
    let running = start_with(store.clone(), options);
    let status = running.until("an error", |status| status.last_error.is_some()).await;
    assert_eq!((status.applied, status.from_backup), (None, false));
    assert_eq!(fs::read(&path).unwrap(), b"{");
    store.become_of(Mood::Well);
    let written = store.write(flag("a")).await.unwrap();
    assert!(running.handle.applied(&written.world, SOON).await);
    running.end().await;
    assert!(fs::read_to_string(&path).unwrap().contains(r#"{\"key\":\"a\"}"#));
}

#[tokio::test]
async fn a_sync_that_ends_tells_those_who_wait() {
    let store = Unreliable::new();
    store.become_of(Mood::Hangs);
    let running = start(store);
    let handle = running.handle.clone();
    let waiting = tokio::spawn(async move { handle.ready().await });
    running.end().await;
    assert!(!waiting.await.unwrap());
}
