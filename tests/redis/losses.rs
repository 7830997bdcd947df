//! Losses: of hints, of the connection, of the server, of what it held.

use std::{sync::Arc, time::Duration};

use flaggate::{
    model::{DocumentKey, WorldRevision},
    store::{RedisStore, RefusedBecause, Store, StoreError, Timing},
};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    following::{Following, SOON, flag},
    proxy::{Fault, Proxy},
    sentinel::Watched,
    server::Server,
};

fn direct(server: &Server) -> RedisStore {
    RedisStore::new(server.config())
}

/// A server, a store that writes to it directly, a proxy before it, and a sync that follows through the proxy.
struct Bench {
    server: Server,
    writer: RedisStore,
    proxy: Proxy,
    following: Following,
}

impl Bench {
    async fn start(timing: Option<Timing>) -> Self {
        let server = Server::start(&[]);
        let proxy = Proxy::start(server.port).await;
        let store = Arc::new(RedisStore::new(proxy.config()));
        let following = match timing {
            Some(timing) => Following::start_with(store, timing),
            None => Following::start(store),
        };
        let bench = Self { writer: direct(&server), server, proxy, following };
        bench.follows("first").await;
        bench
    }

    /// Writes, and waits until that is served.
    async fn follows(&self, key: &str) -> WorldRevision {
        let written = self.writer.write(flag(key)).await.unwrap();
        self.following.reaches(&written.world).await;
        written.world
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_hints_are_made_good_by_comparing() {
    let bench = Bench::start(None).await;
    bench.following.until("up", |status| status.store_up).await;
    bench.proxy.become_of(Fault::LoseHints(1));
    for round in 0..5 {
        bench.follows(&format!("f{round}")).await;
    }
    let taken = bench.proxy.taken();
    bench.proxy.become_of(Fault::None);
    bench.follows("last").await;
    assert_eq!(bench.proxy.taken(), taken, "no connection was lost over it");
    bench.following.end().await;
}

/// The comparison would find it too, so it is kept from helping.
fn without_comparing() -> Timing {
    let never = Duration::from_secs(3600);
    Timing { compare_every: never, compare_after_hint: never, ..Timing::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_subscription_ends_within_seconds() {
    let bench = Bench::start(Some(without_comparing())).await;
    bench.following.until("up", |status| status.store_up).await;
    bench.proxy.become_of(Fault::HalfOpen);
    let began = Instant::now();
    let written = bench.writer.write(flag("unseen")).await.unwrap();
    bench.following.until("lost", |status| !status.store_up).await;
    // Six and a half; on a busy machine it may be noticed later.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    bench.proxy.become_of(Fault::None);
    bench.following.reaches(&written.world).await;
    bench.following.until("up again", |status| status.store_up && status.stale_since.is_none()).await;
    bench.following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_refused_cut_or_slow_are_followed_up() {
    let bench = Bench::start(None).await;
    for (round, fault) in
        [Fault::Refuse, Fault::CutAfter(0), Fault::CutAfter(150), Fault::CutAfter(1000)].into_iter().enumerate()
    {
        bench.proxy.become_of(fault);
        let written = bench.writer.write(flag(&format!("f{round}"))).await.unwrap();
        bench.following.until("an error", |status| !status.store_up).await;
        bench.proxy.become_of(Fault::None);
        bench.following.reaches(&written.world).await;
        bench.following.until("up again", |status| status.store_up).await;
    }
    bench.proxy.become_of(Fault::Delay(Duration::from_millis(30)));
    bench.follows("slow").await;
    bench.following.end().await;
}

#[tokio::test]
async fn every_operation_ends_in_time_and_the_next_one_connects_anew() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let config = flaggate::config::Redis { answer_timeout: Duration::from_millis(200), ..proxy.config() };
    let store = RedisStore::new(flaggate::config::Redis { connect_timeout: Duration::from_millis(300), ..config });
    proxy.become_of(Fault::HalfOpen);
    let ask = || async {
        let error = timeout(Duration::from_secs(2), store.load()).await.expect("it answers in time").unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(timeout(Duration::from_secs(2), store.subscribe()).await.expect("it answers in time").is_err());
    };
    ask().await;
    proxy.become_of(Fault::None);
    store.write(flag("a")).await.unwrap();
    proxy.become_of(Fault::HalfOpen);
    ask().await;
    proxy.become_of(Fault::Refuse);
    ask().await;
    proxy.become_of(Fault::None);
    assert_eq!(store.load().await.unwrap().documents.len(), 1);
}

#[tokio::test]
async fn a_store_opens_without_its_server_and_names_it() {
    let store = RedisStore::new(flaggate::config::Redis::at("127.0.0.1", crate::server::free_port()));
    let error = store.load().await.unwrap_err().to_string();
    assert!(error.contains("unavailable: 127.0.0.1:") && error.contains("refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back_is_followed_again() {
    let mut bench = Bench::start(None).await;
    let kept = bench.follows("kept").await;
    bench.server.ask(&["SAVE"]);
    for round in 0..3 {
        bench.server.kill();
        let status = bench.following.until("lost", |status| !status.store_up).await;
        assert!(status.stale_since.is_some());
        assert_eq!(bench.following.keys(), ["first", "kept"], "what was loaded is served on");
        bench.server.resume();
        let status = bench.following.until("up", |status| status.store_up && status.stale_since.is_none()).await;
        assert_eq!((status.applied.as_ref(), status.alarm), (Some(&kept), None), "round {round}");
    }
    // The writer notices with its first question that its connection is gone.
    bench.writer.load().await.ok();
    bench.follows("later").await;
    bench.following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flushed_store_wipes_nothing_and_is_reseeded() {
    let bench = Bench::start(None).await;
    let before = bench.follows("second").await;
    bench.server.ask(&["FLUSHALL"]);
    let status = bench.following.until("the alarm", |status| status.alarm.is_some()).await;
    let alarm = status.alarm.unwrap();
    assert_eq!(alarm.because, RefusedBecause::Empty);
    assert_eq!(bench.following.keys(), ["first", "second"]);
    let documents: Vec<_> = ["first", "second"]
        .map(|key| (DocumentKey::flag(key), Arc::from(format!(r#"{{"key":"{key}","name":"back"}}"#))))
        .to_vec();
    let late = bench.writer.reseed(&before, documents.clone(), "me", Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert!(matches!(late, StoreError::Moved { .. }), "{late}");
    let after = bench.writer.reseed(&alarm.found, documents, "me", Timestamp::UNIX_EPOCH).await.unwrap();
    bench.following.reaches(&after).await;
    bench.following.until("no alarm", |status| status.alarm.is_none() && status.stale_since.is_none()).await;
    bench.following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_went_back_is_refused_until_it_is_written_to() {
    let mut bench = Bench::start(None).await;
    bench.server.ask(&["SAVE"]);
    let newest = bench.follows("after the save").await;
    bench.server.kill();
    bench.server.resume();
    let status = bench.following.until("the alarm", |status| status.alarm.is_some()).await;
    assert_eq!(status.alarm.unwrap().because, RefusedBecause::Older);
    assert_eq!(bench.following.keys(), ["after the save", "first"]);
    assert_eq!(bench.following.cell.load().revision(), Some(&newest));
    // The next write would have had the number of the one that was lost.
    bench.writer.load().await.ok();
    bench.follows("written since").await;
    assert_eq!(bench.following.keys(), ["first", "written since"]);
    bench.following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_documents_are_reseeded_at_once() {
    let server = Server::start(&[]);
    let store = direct(&server);
    let text: Arc<str> = format!(r#"{{"key":"x","tags":["a","b"],"name":"{}"}}"#, "n".repeat(300)).into();
    let documents: Vec<_> = (0..10_000).map(|number| (DocumentKey::flag(format!("f{number}")), text.clone())).collect();
    let start = store.revision().await.unwrap();
    let seeded = store.reseed(&start, documents.clone(), "me", Timestamp::UNIX_EPOCH).await.unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!((contents.revision, contents.documents.len()), (seeded.clone(), 10_000));
    // Two at once: one wins.
    let again = || store.reseed(&seeded, documents.clone(), "me", Timestamp::UNIX_EPOCH);
    let (one, other) = tokio::join!(again(), again());
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed_and_a_demoted_master_refused() {
    let mut watched = Watched::start();
    let writer = RedisStore::new(watched.config());
    let following = Following::start(Arc::new(RedisStore::new(watched.config())));
    let written = writer.write(flag("before")).await.unwrap();
    following.reaches(&written.world).await;
    watched.servers[1].wait_until(|replica| replica.ask(&["EXISTS", "flag:before"]) == "1");
    watched.servers[0].kill();
    let by = Instant::now() + SOON;
    let after = loop {
        match writer.write(flag("after")).await {
            Ok(written) => break written.world,
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)) && Instant::now() < by, "{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    };
    following.reaches(&after).await;
    assert_eq!((&after.epoch, following.keys()), (&written.world.epoch, vec!["after".to_owned(), "before".into()]));
    // The former master comes back and is made a replica, as the sentinels do some seconds later: it is not talked to.
    watched.servers[0].resume();
    let port = watched.servers[1].port.to_string();
    watched.servers[0].ask(&["REPLICAOF", "127.0.0.1", &port]);
    let error = RedisStore::new(watched.servers[0].config()).load().await.unwrap_err();
    assert!(error.to_string().contains("is a replica"), "{error}");
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_replica_that_is_promoted_is_refused() {
    let master = Server::start(&[]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    let proxy = Proxy::start(master.port).await;
    let following = Following::start(Arc::new(RedisStore::new(proxy.config())));
    let writer = direct(&master);
    let old = writer.write(flag("old")).await.unwrap();
    following.reaches(&old.world).await;
    replica.wait_until(|replica| replica.ask(&["EXISTS", "flag:old"]) == "1");
    // It no longer hears of its master, then takes its place.
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    let new = writer.write(flag("new")).await.unwrap();
    following.reaches(&new.world).await;
    proxy.lead_to(replica.port);
    let status = following.until("the alarm", |status| status.alarm.is_some()).await;
    assert_eq!(status.alarm.unwrap().found, old.world);
    assert_eq!(following.keys(), ["new", "old"]);
    // Nor does it come into use by the comparison: it has to be written to.
    let promoted = direct(&replica).write(flag("newer")).await.unwrap();
    following.reaches(&promoted.world).await;
    assert_eq!(following.keys(), ["newer", "old"]);
    proxy.lead_to(master.port);
    following.until("the alarm again", |status| status.alarm.is_some()).await;
    proxy.lead_to(replica.port);
    following.until("no alarm", |status| status.alarm.is_none() && status.store_up).await;
    following.end().await;
}
