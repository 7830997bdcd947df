//! What is stored of users: read one at a time, when a flag asks for it.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::{sync::broadcast, time::sleep};

use super::StoreError;
use crate::{clock, model::Profile};

/// How many changes a listener may be behind before it has to begin anew.
const CAPACITY: usize = 4096;

/// The pause before changes are listened to again after that ended.
const PAUSE: Duration = Duration::from_secs(1);

/// The ids of users of whom something changed. It ends when changes may have been missed.
pub type ChangedUsers = Pin<Box<dyn Stream<Item = Arc<str>> + Send>>;

/// Where profiles and activity live. Writes are not audited and do not move the world's revision: they are many, and no
/// flag is compiled from them.
#[async_trait]
pub trait ProfileStore: Send + Sync {
    /// Reads what is known of a user; `None`: nothing.
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError>;
    /// Replaces a user's attributes and behavioral data; the activity stays.
    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<(), StoreError>;
    /// Says what a user is doing for as long as `ttl`.
    async fn put_activity(&self, user_id: &str, activity: &Map<String, Value>, ttl: Duration)
    -> Result<(), StoreError>;
    /// Forgets a user, activity included.
    async fn remove_profile(&self, user_id: &str) -> Result<(), StoreError>;
    /// Listens to changes. Once this returns, none goes unheard without the end of the stream.
    async fn changed_users(&self) -> Result<ChangedUsers, StoreError>;
}

/// Tells of every user of whom something changed, and `None` when changes may have been missed. For ever.
pub async fn tell_changes(store: Arc<dyn ProfileStore>, tell: impl Fn(Option<&str>) + Send) {
    loop {
        match store.changed_users().await {
            Ok(mut users) => {
                tell(None);
                while let Some(user) = users.next().await {
                    tell(Some(&user));
                }
            }
            Err(error) => log::debug!("profiles: {error}"),
        }
        tell(None);
        sleep(PAUSE).await;
    }
}

/// Sends changes within one process.
#[derive(Clone, Debug)]
pub(super) struct UserFeed(broadcast::Sender<Arc<str>>);

impl UserFeed {
    pub(super) fn new() -> Self {
        Self(broadcast::channel(CAPACITY).0)
    }

    pub(super) fn send(&self, user_id: &str) {
        // An error says that nobody listens, which is nobody's loss.
        self.0.send(user_id.into()).ok();
    }

    pub(super) fn subscribe(&self) -> ChangedUsers {
        let next = async |mut users: broadcast::Receiver<Arc<str>>| Some((users.recv().await.ok()?, users));
        Box::pin(stream::unfold(self.0.subscribe(), next))
    }
}

/// Profiles that live and die with the process.
#[derive(Debug)]
pub struct MemoryProfiles {
    users: Mutex<HashMap<String, User>>,
    feed: UserFeed,
}

#[derive(Debug, Default)]
struct User {
    /// Without activity; `None`: only the activity is known.
    profile: Option<Profile>,
    activity: Option<(Map<String, Value>, Instant)>,
}

impl MemoryProfiles {
    /// Nobody is known.
    #[must_use]
    pub fn new() -> Self {
        Self { users: Mutex::default(), feed: UserFeed::new() }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.users.lock().expect("nothing panics while it holds the users")
    }
}

impl Default for MemoryProfiles {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl ProfileStore for MemoryProfiles {
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError> {
        let users = self.users();
        let Some(user) = users.get(user_id) else { return Ok(None) };
        let activity = user.activity.as_ref().filter(|(_, until)| *until > clock::monotonic());
        let activity = activity.map(|(activity, _)| activity.clone());
        let known = user.profile.is_some() || activity.is_some();
        Ok(known.then(|| Profile { activity, ..user.profile.clone().unwrap_or_default() }))
    }

    async fn put_profile(&self, user_id: &str, profile: &Profile, _at: Timestamp) -> Result<(), StoreError> {
        let stored = Profile { activity: None, ..profile.clone() };
        self.users().entry(user_id.to_owned()).or_default().profile = Some(stored);
        self.feed.send(user_id);
        Ok(())
    }

    async fn put_activity(
        &self,
        user_id: &str,
        activity: &Map<String, Value>,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let until = clock::monotonic() + ttl;
        self.users().entry(user_id.to_owned()).or_default().activity = Some((activity.clone(), until));
        self.feed.send(user_id);
        Ok(())
    }

    async fn remove_profile(&self, user_id: &str) -> Result<(), StoreError> {
        self.users().remove(user_id);
        self.feed.send(user_id);
        Ok(())
    }

    async fn changed_users(&self) -> Result<ChangedUsers, StoreError> {
        Ok(self.feed.subscribe())
    }
}
