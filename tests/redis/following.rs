//! A sync that follows a store.

use std::{sync::Arc, time::Duration};

use flaggate::{
    model::{Context, DocumentKey, WorldRevision},
    snapshot::SnapshotCell,
    store::{Expected, Follower, Store, SyncHandle, SyncOptions, SyncStatus, Timing, Write},
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn put(key: &str, text: &str) -> Write {
    Write {
        document: DocumentKey::flag(key),
        text: Some(text.into()),
        expected: Expected::Any,
        actor: "tester".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        fence: None,
    }
}

pub(crate) fn flag(key: &str) -> Write {
    put(key, &format!(r#"{{"key":"{key}"}}"#))
}

/// A sync that runs, and what it publishes into.
pub(crate) struct Following {
    pub(crate) cell: SnapshotCell,
    pub(crate) handle: SyncHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Following {
    /// Follows with short waits: what is compared is compared soon.
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let timing = Timing {
            compare_every: Duration::from_millis(100),
            compare_after_hint: Duration::from_millis(50),
            pause_after_publish: Duration::from_millis(2),
            hints_within: Duration::from_millis(20),
            ..Timing::default()
        };
        Self::start_with(store, timing)
    }

    pub(crate) fn start_with(store: Arc<dyn Store>, timing: Timing) -> Self {
        let (cell, publisher) = SnapshotCell::new();
        let (follower, handle) = Follower::new(store, publisher, SyncOptions { timing, ..SyncOptions::default() });
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(follower.run(async { drop(stopped.await) }));
        Self { cell, handle, stop, task }
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.cell.load().keys().map(str::to_owned).collect()
    }

    /// Waits until this revision is served.
    pub(crate) async fn reaches(&self, revision: &WorldRevision) {
        assert!(self.handle.applied(revision, SOON).await, "{revision} is not reached: {:?}", self.handle.status());
    }

    /// Waits until the status is as asked.
    pub(crate) async fn until(&self, what: &str, asked: impl Fn(&SyncStatus) -> bool) -> SyncStatus {
        for _ in 0..4000 {
            let status = self.handle.status();
            if asked(&status) {
                return status;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("never: {what}: {:?}", self.handle.status())
    }

    /// The value of a flag for a user without attributes.
    pub(crate) fn value(&self, key: &str) -> Option<Value> {
        let snapshot = self.cell.load();
        let attributes = Map::new();
        let context = Context { user_id: "u", attributes: &attributes, now: Timestamp::UNIX_EPOCH };
        Some(snapshot.evaluator(context).evaluate(snapshot.flag(key)?)?.value().clone())
    }

    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}
