//! Keeps who is in which segment: works it out anew for users whose profile or activity was written, and once more when that
//! activity runs out.
//!
//! Flags never wait for this: they decide segments themselves. What is kept is for people and for events.

mod activities;

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use prometheus::{
    IntCounterVec, Opts, Registry,
    core::{Collector, Desc},
    proto::{LabelPair, MetricFamily},
};
use serde_json::{Map, Value};
use tokio::{sync::mpsc, time::sleep_until};

use self::activities::Activities;
use crate::{
    clock,
    model::Profile,
    snapshot::{Snapshot, SnapshotCell},
    store::{
        ChangedUsers, Count, Cursor, Moved, MovedUsers, Page, Patched, ProfilePatch, ProfileStore, Sample, StoreError,
        StoredProfile, Unwritten,
    },
    telemetry::{
        Events,
        events::{EventKind, Happening},
    },
};

/// How many users may wait; who writes more waits with them.
const WAITING: usize = 4096;

/// How many users are worked out together.
const TOGETHER: usize = 250;

/// A profile store whose writes are followed.
///
/// Invariant: every user who is written through it is worked out afterwards, once the segments are known. An activity that
/// runs out is followed by the gateway through which it was written, while that runs.
pub struct Tracked {
    store: Arc<dyn ProfileStore>,
    written: mpsc::Sender<Written>,
    moves: Moves,
}

/// A user who was written.
#[derive(Debug)]
struct Written {
    user_id: String,
    activity: Activity,
}

/// What that says of the user's activity.
#[derive(Debug)]
enum Activity {
    /// Nothing.
    AsBefore,
    /// It counts until then.
    Until(Instant),
    /// There is none.
    Over,
}

/// Who moved, counted and told as events.
#[derive(Clone, Debug)]
pub struct Moves {
    counter: IntCounterVec,
    events: Option<Events>,
}

/// Shows the moves of the segments that there are.
#[derive(Debug)]
struct ShownMoves {
    moves: IntCounterVec,
    cell: SnapshotCell,
}

impl Moves {
    /// The counter, registered. A removed segment's series go with it.
    ///
    /// # Errors
    /// It is registered already.
    pub fn register(registry: &Registry, cell: SnapshotCell) -> prometheus::Result<Self> {
        let about = Opts::new("flaggate_segment_moves_total", "Users who entered or left a segment, as seen here.");
        let counter = IntCounterVec::new(about, &["segment", "change"])?;
        registry.register(Box::new(ShownMoves { moves: counter.clone(), cell }))?;
        Ok(Self { counter, events: None })
    }

    /// The same, which also tells of each move where events are given in.
    #[must_use]
    pub fn telling(self, events: Option<Events>) -> Self {
        Self { events, ..self }
    }

    /// Counts users who moved, and tells of each move. Called by the one gateway that keeps them, once they are kept.
    pub fn count(&self, moved: &[Moved]) {
        let now = clock::now();
        for Moved { user_id, entered, left, .. } in moved {
            for (segments, change, kind) in
                [(entered, "entered", EventKind::SegmentEntered), (left, "left", EventKind::SegmentLeft)]
            {
                for segment in segments {
                    self.counter.with_label_values(&[segment.as_str(), change]).inc();
                    if let Some(events) = &self.events {
                        let data = Map::from_iter([("segment".to_owned(), segment.as_str().into())]);
                        events.happened(Happening::new(kind, now, data).of(user_id));
                    }
                }
            }
        }
    }
}

impl Collector for ShownMoves {
    fn desc(&self) -> Vec<&Desc> {
        self.moves.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut families, snapshot) = (self.moves.collect(), self.cell.load());
        let is_there = |label: &LabelPair| label.name() != "segment" || snapshot.segment(label.value()).is_some();
        for family in &mut families {
            family.mut_metric().retain(|metric| metric.get_label().iter().all(is_there));
        }
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

impl Tracked {
    /// Follows the writes through the store that is answered.
    ///
    /// # Panics
    /// There is no runtime.
    #[must_use]
    pub fn start(store: Arc<dyn ProfileStore>, cell: SnapshotCell, moves: Moves) -> Self {
        let (written, mut waiting) = mpsc::channel(WAITING);
        let (working, counting) = (Arc::clone(&store), moves.clone());
        tokio::spawn(async move {
            let mut activities = Activities::default();
            while let Some(mut users) = next(&mut waiting, &mut activities).await {
                users.sort_unstable();
                users.dedup();
                if let Err(error) = work_out(&*working, &cell.load(), &users, &counting).await {
                    log::warn!(
                        "segments: the memberships of {} users were not brought up to date: {error}",
                        users.len()
                    );
                }
            }
        });
        Self { store, written, moves }
    }

    async fn follow(&self, user_id: &str, activity: Activity) {
        // An error says that the runtime ends.
        self.written.send(Written { user_id: user_id.to_owned(), activity }).await.ok();
    }
}

/// The users to be worked out next: those who were written, else those whose activity ran out. `None`: nobody will be written
/// any more.
async fn next(waiting: &mut mpsc::Receiver<Written>, activities: &mut Activities) -> Option<Vec<String>> {
    let mut written = Vec::with_capacity(TOGETHER);
    let ended = async {
        match activities.next() {
            Some(end) => sleep_until(end.into()).await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        count = waiting.recv_many(&mut written, TOGETHER) => if count == 0 {
            return None;
        },
        () = ended => return Some(activities.take_ended(clock::monotonic(), TOGETHER)),
    }
    let noted = written.into_iter().map(|Written { user_id, activity }| {
        match activity {
            Activity::AsBefore => {}
            Activity::Until(end) => activities.note(&user_id, Some(end)),
            Activity::Over => activities.note(&user_id, None),
        }
        user_id
    });
    Some(noted.collect())
}

/// Works out who is in which segments, and keeps what changed.
async fn work_out(
    store: &dyn ProfileStore,
    snapshot: &Snapshot,
    users: &[String],
    moves: &Moves,
) -> Result<(), StoreError> {
    if snapshot.segments().next().is_none() {
        return Ok(());
    }
    let found = store.stored_profiles(users).await?;
    let now = clock::now();
    let moved: Vec<Moved> = users
        .iter()
        .zip(found)
        .filter_map(|(user_id, stored)| {
            // Of whom only the activity is known, there is nowhere to keep anything.
            let is_profile =
                |stored: &StoredProfile| stored.last_updated.is_some() || !stored.profile.attributes.is_empty();
            let stored = stored.filter(is_profile)?;
            let segments = snapshot.stored_memberships(user_id, &stored.profile, now);
            moved(user_id, &stored.segment_memberships, segments.into_iter().map(str::to_owned).collect())
        })
        .collect();
    keep(store, &moved, moves).await
}

/// Keeps who moved, and counts it.
///
/// # Errors
/// The store does not take it.
pub async fn keep(store: &dyn ProfileStore, moved: &[Moved], moves: &Moves) -> Result<(), StoreError> {
    if !moved.is_empty() {
        store.set_memberships(moved).await?;
        moves.count(moved);
    }
    Ok(())
}

/// What changed from `before` to `segments`, which are sorted; `None`: nothing.
#[must_use]
pub fn moved(user_id: &str, before: &[String], segments: Vec<String>) -> Option<Moved> {
    let missing = |of: &[String], from: &[String]| of.iter().filter(|id| !from.contains(id)).cloned().collect();
    let (entered, left): (Vec<String>, Vec<String>) = (missing(&segments, before), missing(before, &segments));
    (!entered.is_empty() || !left.is_empty()).then(|| Moved { user_id: user_id.to_owned(), segments, entered, left })
}

#[async_trait]
impl ProfileStore for Tracked {
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError> {
        self.store.profile(user_id).await
    }

    async fn stored_profiles(&self, user_ids: &[String]) -> Result<Vec<Option<StoredProfile>>, StoreError> {
        self.store.stored_profiles(user_ids).await
    }

    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<bool, StoreError> {
        let is_new = self.store.put_profile(user_id, profile, at).await?;
        self.follow(user_id, Activity::AsBefore).await;
        Ok(is_new)
    }

    async fn put_profiles(&self, profiles: &[(String, Profile)], at: Timestamp) -> Result<Vec<Unwritten>, StoreError> {
        let unwritten = self.store.put_profiles(profiles, at).await?;
        for (user_id, _) in profiles {
            self.follow(user_id, Activity::AsBefore).await;
        }
        Ok(unwritten)
    }

    async fn patch_profile(&self, user_id: &str, patch: &ProfilePatch, at: Timestamp) -> Result<Patched, StoreError> {
        let patched = self.store.patch_profile(user_id, patch, at).await?;
        self.follow(user_id, Activity::AsBefore).await;
        Ok(patched)
    }

    async fn set_memberships(&self, moved: &[Moved]) -> Result<usize, StoreError> {
        self.store.set_memberships(moved).await
    }

    async fn put_activity(
        &self,
        user_id: &str,
        activity: &Map<String, Value>,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.store.put_activity(user_id, activity, ttl).await?;
        // The store counted from an earlier moment on, so that it has forgotten it by then.
        self.follow(user_id, Activity::Until(clock::monotonic() + ttl)).await;
        Ok(())
    }

    async fn remove_activity(&self, user_id: &str) -> Result<bool, StoreError> {
        let was_known = self.store.remove_activity(user_id).await?;
        self.follow(user_id, Activity::Over).await;
        Ok(was_known)
    }

    async fn remove_profile(&self, user_id: &str) -> Result<bool, StoreError> {
        let stored = self.store.stored_profile(user_id).await?;
        let was_known = self.store.remove_profile(user_id).await?;
        let left = stored.and_then(|stored| moved(user_id, &stored.segment_memberships, Vec::new()));
        keep(&*self.store, left.as_slice(), &self.moves).await?;
        Ok(was_known)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.store.scan(after, limit).await
    }

    async fn count_profiles(&self) -> Result<Count, StoreError> {
        self.store.count_profiles().await
    }

    async fn sample(&self, size: usize, seed: u64) -> Result<Sample, StoreError> {
        self.store.sample(size, seed).await
    }

    async fn changed_users(&self) -> Result<ChangedUsers, StoreError> {
        self.store.changed_users().await
    }

    async fn moved_users(&self) -> Result<MovedUsers, StoreError> {
        self.store.moved_users().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use serde_json::json;

    use super::*;
    use crate::{
        config,
        model::{DocumentKey, WorldRevision},
        snapshot::World,
        store::MemoryProfiles,
        telemetry::{
            EventMetrics, Privacy,
            events::{FileSink, Origin},
        },
    };

    #[tokio::test]
    async fn who_does_something_no_more_leaves() {
        let (cell, publisher) = SnapshotCell::new();
        let rules = json!([{ "field": "activity.current_page", "operator": "equals", "value": "/pay" }]);
        let segment = json!({ "id": "paying", "name": "Paying", "type": "dynamic", "rules": rules }).to_string();
        let revision = WorldRevision { epoch: "e".into(), number: 1 };
        let world = World::new(None).load(revision, [(DocumentKey::segment("paying"), segment.into())]);
        assert!(publisher.publish(world));
        let store: Arc<dyn ProfileStore> = Arc::new(MemoryProfiles::new());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let sink = FileSink::new(&config::EventFile { path: path.clone(), max_size: 1 << 20, keep: 0 });
        let registry = Registry::new();
        let metrics = EventMetrics::register(&registry).unwrap();
        let origin = Origin { service: "test".into(), environment: None, region: None };
        let started =
            Events::start(&config::Events::default(), origin, Privacy::default(), vec![Arc::new(sink)], &metrics);
        let (events, running) = started.unwrap();
        let moves = Moves::register(&registry, cell.clone()).unwrap().telling(Some(events));
        let tracked = Tracked::start(Arc::clone(&store), cell, moves.clone());
        let mut moved = tracked.moved_users().await.unwrap();
        let attributes = json!({ "plan": "pro" }).as_object().cloned().unwrap();
        let profile = Profile { attributes, ..Profile::default() };
        tracked.put_profile("ann", &profile, clock::now()).await.unwrap();
        let activity = json!({ "current_page": "/pay" }).as_object().cloned().unwrap();
        tracked.put_activity("ann", &activity, Duration::from_millis(30)).await.unwrap();
        let mut heard = Vec::new();
        while heard.len() < 2 {
            let told = moved.next().await.unwrap();
            heard.extend(told.iter().map(|moved| (moved.entered.clone(), moved.left.clone())));
        }
        assert_eq!(heard, [(vec!["paying".to_owned()], vec![]), (vec![], vec!["paying".to_owned()])]);
        // The store tells before the move is counted.
        while moves.counter.with_label_values(&["paying", "left"]).get() == 0 {
            sleep_until((clock::monotonic() + Duration::from_millis(1)).into()).await;
        }
        running.end(Duration::from_secs(10)).await;
        let text = std::fs::read_to_string(path).unwrap();
        let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<&Value> = told.iter().map(|event| &event["event_type"]).collect();
        assert_eq!(kinds, ["segment_entered", "segment_left"]);
        assert!(told.iter().all(|event| event["user_id"] == "ann" && event["data"] == json!({ "segment": "paying" })));
    }
}
