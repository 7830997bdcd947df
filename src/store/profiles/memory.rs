//! Profiles that live and die with the process.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    ChangedUsers, Count, Cursor, MAX_PROFILE_BYTES, Moved, MovedUsers, Page, Patched, ProfilePatch, ProfileStore,
    Sample, Sampler, StoredProfile, Unwritten, UserFeed, stored::profile_bytes,
};
use crate::{clock, model::Profile, store::StoreError};

/// So many activities are kept before those that ended are looked for.
const FEW: usize = 1024;

/// Profiles that live and die with the process.
#[derive(Debug)]
pub struct MemoryProfiles {
    users: Mutex<Users>,
    feed: UserFeed,
}

#[derive(Debug, Default)]
struct Users {
    /// Without activity.
    profiles: BTreeMap<String, StoredProfile>,
    activity: HashMap<String, (Map<String, Value>, Instant)>,
    /// At how many activities those that ended are thrown away next.
    full_at: usize,
}

impl MemoryProfiles {
    /// Nobody is known.
    #[must_use]
    pub fn new() -> Self {
        Self { users: Mutex::default(), feed: UserFeed::new() }
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().expect("nothing panics while it holds the users")
    }
}

impl Default for MemoryProfiles {
    fn default() -> Self {
        Self::new()
    }
}

impl Users {
    fn activity(&self, user_id: &str) -> Option<Map<String, Value>> {
        let (activity, _) = self.activity.get(user_id).filter(|(_, until)| *until > clock::monotonic())?;
        Some(activity.clone())
    }

    fn complete(&self, user_id: &str, stored: &StoredProfile) -> StoredProfile {
        let mut stored = stored.clone();
        stored.profile.activity = self.activity(user_id);
        stored
    }

    fn get(&self, user_id: &str) -> Option<StoredProfile> {
        match self.profiles.get(user_id) {
            Some(stored) => Some(self.complete(user_id, stored)),
            None => {
                let activity = Some(self.activity(user_id)?);
                let profile = Profile { activity, ..Profile::default() };
                Some(StoredProfile { profile, ..StoredProfile::default() })
            }
        }
    }

    /// Whether it is new.
    fn put(&mut self, user_id: &str, profile: &Profile, at: Timestamp) -> bool {
        let is_new = !self.profiles.contains_key(user_id);
        let stored = self.profiles.entry(user_id.to_owned()).or_default();
        stored.profile = Profile { activity: None, ..profile.clone() };
        stored.last_updated = Some(at);
        is_new
    }
}

#[async_trait]
impl ProfileStore for MemoryProfiles {
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError> {
        Ok(self.users().get(user_id).map(|stored| stored.profile))
    }

    async fn stored_profiles(&self, user_ids: &[String]) -> Result<Vec<Option<StoredProfile>>, StoreError> {
        let users = self.users();
        Ok(user_ids.iter().map(|user_id| users.get(user_id)).collect())
    }

    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<bool, StoreError> {
        let is_new = self.users().put(user_id, profile, at);
        self.feed.send([user_id]);
        Ok(is_new)
    }

    async fn put_profiles(&self, profiles: &[(String, Profile)], at: Timestamp) -> Result<Vec<Unwritten>, StoreError> {
        let mut users = self.users();
        for (user_id, profile) in profiles {
            users.put(user_id, profile, at);
        }
        drop(users);
        self.feed.send(profiles.iter().map(|(user_id, _)| user_id.as_str()));
        Ok(Vec::new())
    }

    async fn patch_profile(&self, user_id: &str, patch: &ProfilePatch, at: Timestamp) -> Result<Patched, StoreError> {
        let mut users = self.users();
        let mut profile = users.profiles.get(user_id).map(|stored| stored.profile.clone()).unwrap_or_default();
        patch.apply(&mut profile);
        let bytes = profile_bytes(&profile);
        if bytes > MAX_PROFILE_BYTES {
            return Ok(Patched::TooLarge(bytes));
        }
        let is_new = users.put(user_id, &profile, at);
        drop(users);
        self.feed.send([user_id]);
        Ok(if is_new { Patched::Created } else { Patched::Updated })
    }

    async fn set_memberships(&self, moved: &[Moved]) -> Result<usize, StoreError> {
        let mut kept = 0;
        let mut users = self.users();
        for Moved { user_id, segments, .. } in moved {
            if let Some(stored) = users.profiles.get_mut(user_id) {
                stored.segment_memberships.clone_from(segments);
                kept += 1;
            }
        }
        drop(users);
        self.feed.send_moved(moved);
        Ok(kept)
    }

    async fn put_activity(
        &self,
        user_id: &str,
        activity: &Map<String, Value>,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let now = clock::monotonic();
        let mut users = self.users();
        if users.activity.len() >= users.full_at.max(FEW) {
            users.activity.retain(|_, (_, until)| *until > now);
            users.full_at = 2 * users.activity.len();
        }
        users.activity.insert(user_id.to_owned(), (activity.clone(), now + ttl));
        drop(users);
        self.feed.send([user_id]);
        Ok(())
    }

    async fn remove_activity(&self, user_id: &str) -> Result<bool, StoreError> {
        let removed = self.users().activity.remove(user_id);
        self.feed.send([user_id]);
        Ok(removed.is_some_and(|(_, until)| until > clock::monotonic()))
    }

    async fn remove_profile(&self, user_id: &str) -> Result<bool, StoreError> {
        let mut users = self.users();
        let was_known = users.get(user_id).is_some();
        users.profiles.remove(user_id);
        users.activity.remove(user_id);
        drop(users);
        self.feed.send([user_id]);
        Ok(was_known)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let users = self.users();
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
        let mut behind = users.profiles.range::<str, _>((from, Bound::Unbounded));
        let page: Vec<_> = behind
            .by_ref()
            .take(limit.max(1))
            .map(|(user_id, stored)| (user_id.clone(), users.complete(user_id, stored)))
            .collect();
        let last = page.last().filter(|_| behind.next().is_some());
        let next = last.map(|(user_id, _)| Cursor::new(user_id));
        Ok((page, next))
    }

    async fn count_profiles(&self) -> Result<Count, StoreError> {
        Ok(Count { number: self.users().profiles.len() as u64, exact: true })
    }

    async fn sample(&self, size: usize, seed: u64) -> Result<Sample, StoreError> {
        let mut sampler = Sampler::new(size, seed);
        self.users().profiles.keys().for_each(|user_id| sampler.see(user_id));
        Ok(sampler.end())
    }

    async fn moved_users(&self) -> Result<MovedUsers, StoreError> {
        Ok(self.feed.moved())
    }

    async fn changed_users(&self) -> Result<ChangedUsers, StoreError> {
        Ok(self.feed.subscribe())
    }
}
