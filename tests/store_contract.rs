//! One contract that every store keeps, and what the embedded one promises besides.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[macro_use]
#[path = "support/promises.rs"]
mod promises;
#[macro_use]
#[path = "support/profiles.rs"]
mod profile_promises;
#[macro_use]
#[path = "support/counting.rs"]
mod counting;
#[macro_use]
#[path = "support/experience.rs"]
mod experience;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use flaggate::{
    config::{self, StoreKind},
    model::{Arm, ArmCounts},
    store::{
        AnalyticsStore, COUNTS_KEPT, CounterStore, EmbeddedStore, Expected, MemoryAnalytics, MemoryCounters,
        MemoryProfiles, MemoryStore, ProfileStore, Step, Store, StoreError, open,
    },
};
use jiff::Timestamp;
use tempfile::TempDir;

use self::promises::{put, write};

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

contract!(memory_store, crate::memory);
contract!(embedded_store, crate::embedded);

/// A store of profiles, and the folder that it may live in.
struct ProfileHome {
    profiles: Arc<dyn ProfileStore>,
    _folder: TempDir,
}

fn profiles_in_memory() -> ProfileHome {
    ProfileHome { profiles: Arc::new(MemoryProfiles::new()), _folder: tempfile::tempdir().unwrap() }
}

fn profiles_in_a_file() -> ProfileHome {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
    ProfileHome { profiles: Arc::new(store), _folder: folder }
}

profile_contract!(memory_profiles, crate::profiles_in_memory);
profile_contract!(embedded_profiles, crate::profiles_in_a_file);

/// Counts, and the folder that their store may live in.
struct CounterHome {
    counters: Arc<dyn CounterStore>,
    _folder: TempDir,
}

fn counters_in_memory() -> CounterHome {
    CounterHome { counters: Arc::new(MemoryCounters::new()), _folder: tempfile::tempdir().unwrap() }
}

/// One gateway has its file for itself, so its counts are in memory.
fn counters_beside_a_file() -> CounterHome {
    let folder = tempfile::tempdir().unwrap();
    let kind = StoreKind::Embedded { path: folder.path().join("store.redb") };
    let config = config::Store { kind, backup: None, seed: None, seed_segments: None, ready_stale_after: None };
    CounterHome { counters: open(&config).unwrap().counters, _folder: folder }
}

counter_contract!(memory_counters, crate::counters_in_memory);
counter_contract!(embedded_counters, crate::counters_beside_a_file);

/// Analytics, and the folder that their store may live in.
struct AnalyticsHome {
    analytics: Arc<dyn AnalyticsStore>,
    _folder: TempDir,
}

fn analytics_in_memory() -> AnalyticsHome {
    AnalyticsHome { analytics: Arc::new(MemoryAnalytics::new()), _folder: tempfile::tempdir().unwrap() }
}

fn analytics_in_a_file() -> AnalyticsHome {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
    AnalyticsHome { analytics: Arc::new(store), _folder: folder }
}

experience_contract!(memory_analytics, crate::analytics_in_memory);
experience_contract!(embedded_analytics, crate::analytics_in_a_file);

#[tokio::test]
async fn analytics_in_a_file_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let arm = Arm::Variation { flag: "f".into(), variation: "on".into() };
    let counts = ArmCounts { requests: 3, ..ArmCounts::default() };
    {
        let store = EmbeddedStore::open(&path).unwrap();
        store.put_counts(Step::Minute, 30_000_000, &[(arm.clone(), counts.clone())]).await.unwrap();
    }
    let store = EmbeddedStore::open(&path).unwrap();
    let found = store.spans(Step::Minute, &arm.subject(), 29_999_999, 30_000_001).await.unwrap();
    assert_eq!(found, [(30_000_000, vec![(arm, counts)])]);
}

#[tokio::test]
async fn old_counts_are_forgotten_but_not_too_soon() {
    let time = Arc::new(AtomicI64::new(1_000_000));
    let clock = Arc::clone(&time);
    let counters = MemoryCounters::with_clock(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap());
    let arm = Arm::Variation { flag: "f".into(), variation: "on".into() };
    let kept = i64::try_from(COUNTS_KEPT.as_secs()).unwrap();
    for second in 0..2 * kept {
        time.store(1_000_000 + second, Ordering::Relaxed);
        counters.add("a", vec![(arm.clone(), ArmCounts { requests: 1, ..ArmCounts::default() })]).await.unwrap();
    }
    let all = counters.all_counts(Timestamp::MIN, Timestamp::MAX).await.unwrap().total(&arm).requests;
    assert!((COUNTS_KEPT.as_secs()..COUNTS_KEPT.as_secs() + 120).contains(&all), "{all}");
}

#[tokio::test]
async fn each_memory_store_is_a_life_of_its_own() {
    let revisions = [MemoryStore::new().revision().await.unwrap(), MemoryStore::new().revision().await.unwrap()];
    assert_ne!(revisions[0].epoch, revisions[1].epoch);
}

fn opened(kind: StoreKind) -> Result<Arc<dyn Store>, StoreError> {
    open(&config::Store { kind, backup: None, seed: None, seed_segments: None, ready_stale_after: None })
        .map(|opened| opened.documents)
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
