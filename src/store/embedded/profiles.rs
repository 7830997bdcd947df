//! Profiles in the file of the embedded store.

use std::{
    ops::Bound,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableError,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{EmbeddedStore, Failure, File};
use crate::{
    clock,
    model::Profile,
    store::{
        ChangedUsers, Count, Cursor, MAX_PROFILE_BYTES, Moved, MovedUsers, Patched, ProfilePatch, ProfileStore, Sample,
        StoreError, StoredProfile, Unwritten,
        profiles::{Page, Sampler, profile_bytes, text_of},
    },
};

/// User id → a profile as JSON.
const PROFILES: TableDefinition<'_, &str, &str> = TableDefinition::new("profiles");
/// User id → until when, in milliseconds since 1970, and what the user does as JSON.
const ACTIVITY: TableDefinition<'_, &str, (i64, &str)> = TableDefinition::new("activity");

/// So many activities are kept before those that ended are looked for.
const FEW: u64 = 1024;

/// A profile without the activity.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    attributes: Map<String, Value>,
    behavioral_data: Map<String, Value>,
    #[serde(default)]
    segment_memberships: Vec<String>,
    last_updated: Timestamp,
}

#[async_trait]
impl ProfileStore for EmbeddedStore {
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError> {
        Ok(self.stored_profile(user_id).await?.map(|stored| stored.profile))
    }

    async fn stored_profiles(&self, user_ids: &[String]) -> Result<Vec<Option<StoredProfile>>, StoreError> {
        let user_ids = user_ids.to_vec();
        self.blocking(move |file| {
            let reading = file.database.begin_read()?;
            user_ids.iter().map(|user_id| read(&reading, user_id)).collect()
        })
        .await
    }

    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<bool, StoreError> {
        let profile = profile.clone();
        self.change(user_id, move |user_id, writing| put(writing, user_id, profile, at)).await
    }

    async fn put_profiles(&self, profiles: &[(String, Profile)], at: Timestamp) -> Result<Vec<Unwritten>, StoreError> {
        let written = profiles.to_vec();
        self.in_turn(move |file| {
            let writing = file.database.begin_write()?;
            for (user_id, profile) in written {
                put(&writing, &user_id, profile, at)?;
            }
            Ok(writing.commit()?)
        })
        .await?;
        self.users().send(profiles.iter().map(|(user_id, _)| user_id.as_str()));
        Ok(Vec::new())
    }

    async fn patch_profile(&self, user_id: &str, patch: &ProfilePatch, at: Timestamp) -> Result<Patched, StoreError> {
        let patch = patch.clone();
        self.change(user_id, move |user_id, writing| {
            let Stored { attributes, behavioral_data, .. } = stored(writing, user_id)?.unwrap_or_default();
            let mut profile = Profile { attributes, behavioral_data, activity: None };
            patch.apply(&mut profile);
            let bytes = profile_bytes(&profile);
            if bytes > MAX_PROFILE_BYTES {
                return Ok(Patched::TooLarge(bytes));
            }
            Ok(if put(writing, user_id, profile, at)? { Patched::Created } else { Patched::Updated })
        })
        .await
    }

    async fn set_memberships(&self, moved: &[Moved]) -> Result<usize, StoreError> {
        let written = moved.to_vec();
        let kept = self
            .in_turn(move |file| {
                let writing = file.database.begin_write()?;
                let mut kept = 0;
                for Moved { user_id, segments, .. } in written {
                    let Some(before) = stored(&writing, &user_id)? else { continue };
                    let after = Stored { segment_memberships: segments, ..before };
                    writing.open_table(PROFILES)?.insert(&*user_id, &*serde_json::to_string(&after)?)?;
                    kept += 1;
                }
                writing.commit()?;
                Ok(kept)
            })
            .await?;
        self.users().send_moved(moved);
        Ok(kept)
    }

    async fn put_activity(
        &self,
        user_id: &str,
        activity: &Map<String, Value>,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let until = clock::now().as_millisecond().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let (text, full_at) = (text_of(activity), self.activity_full_at.clone());
        self.change(user_id, move |user_id, writing| {
            let mut table = writing.open_table(ACTIVITY)?;
            if table.len()? >= full_at.load(Relaxed).max(FEW) {
                forget_ended(&mut table, &full_at)?;
            }
            table.insert(user_id, (until, &*text))?;
            Ok(())
        })
        .await
    }

    async fn remove_activity(&self, user_id: &str) -> Result<bool, StoreError> {
        self.change(user_id, |user_id, writing| {
            let now = clock::now().as_millisecond();
            let removed = writing.open_table(ACTIVITY)?.remove(user_id)?.is_some_and(|found| found.value().0 > now);
            Ok(removed)
        })
        .await
    }

    async fn remove_profile(&self, user_id: &str) -> Result<bool, StoreError> {
        self.change(user_id, |user_id, writing| {
            let now = clock::now().as_millisecond();
            let profile = writing.open_table(PROFILES)?.remove(user_id)?.is_some();
            let activity = writing.open_table(ACTIVITY)?.remove(user_id)?.is_some_and(|found| found.value().0 > now);
            Ok(profile || activity)
        })
        .await
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let (after, limit) = (after.map(|after| after.as_str().to_owned()), limit.max(1));
        self.blocking(move |file| page(file, after.as_deref(), limit)).await
    }

    async fn count_profiles(&self) -> Result<Count, StoreError> {
        self.blocking(|file| {
            let number = match file.database.begin_read()?.open_table(PROFILES) {
                Ok(table) => table.len()?,
                Err(TableError::TableDoesNotExist(_)) => 0,
                Err(error) => return Err(error.into()),
            };
            Ok(Count { number, exact: true })
        })
        .await
    }

    async fn sample(&self, size: usize, seed: u64) -> Result<Sample, StoreError> {
        self.blocking(move |file| {
            let mut sampler = Sampler::new(size, seed);
            match file.database.begin_read()?.open_table(PROFILES) {
                Ok(table) => {
                    for entry in table.iter()? {
                        sampler.see(entry?.0.value());
                    }
                }
                Err(TableError::TableDoesNotExist(_)) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(sampler.end())
        })
        .await
    }

    async fn moved_users(&self) -> Result<MovedUsers, StoreError> {
        Ok(self.users().moved())
    }

    async fn changed_users(&self) -> Result<ChangedUsers, StoreError> {
        Ok(self.users().subscribe())
    }
}

impl EmbeddedStore {
    /// Changes what is stored of a user, in one transaction.
    async fn change<T: Send + 'static>(
        &self,
        user_id: &str,
        change: impl FnOnce(&str, &WriteTransaction) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let user = user_id.to_owned();
        let changed = self
            .in_turn(move |file| {
                let writing = file.database.begin_write()?;
                let changed = change(&user, &writing)?;
                writing.commit()?;
                Ok(changed)
            })
            .await?;
        self.users().send([user_id]);
        Ok(changed)
    }

    /// Writes when it is this write's turn: many that wait must not fill up the threads for blocking work.
    pub(super) async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = self.writing.clone().lock_owned().await;
        self.blocking(move |file| {
            let done = work(file);
            drop(turn);
            done
        })
        .await
    }
}

fn stored(writing: &WriteTransaction, user_id: &str) -> Result<Option<Stored>, Failure> {
    let table = writing.open_table(PROFILES)?;
    let found = table.get(user_id)?;
    Ok(found.map(|found| serde_json::from_str(found.value())).transpose()?)
}

/// Writes attributes and behavioral data, and says whether the profile is new.
fn put(writing: &WriteTransaction, user_id: &str, profile: Profile, at: Timestamp) -> Result<bool, Failure> {
    let before = stored(writing, user_id)?;
    let is_new = before.is_none();
    let Profile { attributes, behavioral_data, activity: _ } = profile;
    let segment_memberships = before.unwrap_or_default().segment_memberships;
    let after = Stored { attributes, behavioral_data, segment_memberships, last_updated: at };
    writing.open_table(PROFILES)?.insert(user_id, &*serde_json::to_string(&after)?)?;
    Ok(is_new)
}

fn read(reading: &ReadTransaction, user_id: &str) -> Result<Option<StoredProfile>, Failure> {
    let stored = match reading.open_table(PROFILES) {
        Ok(table) => table.get(user_id)?.map(|found| serde_json::from_str::<Stored>(found.value())).transpose()?,
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let activity = activity(reading, user_id)?;
    Ok((stored.is_some() || activity.is_some()).then(|| complete(stored, activity)))
}

fn activity(reading: &ReadTransaction, user_id: &str) -> Result<Option<Map<String, Value>>, Failure> {
    let now = clock::now().as_millisecond();
    match reading.open_table(ACTIVITY) {
        Ok(table) => {
            let found = table.get(user_id)?.filter(|found| found.value().0 > now);
            Ok(found.map(|found| serde_json::from_str(found.value().1)).transpose()?)
        }
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn complete(stored: Option<Stored>, activity: Option<Map<String, Value>>) -> StoredProfile {
    let last_updated = stored.as_ref().map(|stored| stored.last_updated);
    let Stored { attributes, behavioral_data, segment_memberships, last_updated: _ } = stored.unwrap_or_default();
    StoredProfile { profile: Profile { attributes, behavioral_data, activity }, segment_memberships, last_updated }
}

fn page(file: &File, after: Option<&str>, limit: usize) -> Result<Page, Failure> {
    let reading = file.database.begin_read()?;
    let table = match reading.open_table(PROFILES) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok((Vec::new(), None)),
        Err(error) => return Err(error.into()),
    };
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut behind = table.range::<&str>((from, Bound::Unbounded))?;
    let mut page = Vec::new();
    for entry in behind.by_ref().take(limit) {
        let (user_id, text) = entry?;
        let stored = serde_json::from_str(text.value())?;
        let activity = activity(&reading, user_id.value())?;
        page.push((user_id.value().to_owned(), complete(Some(stored), activity)));
    }
    let more = behind.next().transpose()?.is_some();
    let next = page.last().filter(|_| more).map(|(user_id, _)| Cursor::new(user_id));
    Ok((page, next))
}

/// Throws away activities that ended. The more are left, the later that happens again, so that it costs each write little.
fn forget_ended(table: &mut redb::Table<'_, &str, (i64, &str)>, full_at: &AtomicU64) -> Result<(), Failure> {
    let now = clock::now().as_millisecond();
    table.retain(|_, (until, _)| until > now)?;
    full_at.store(2 * table.len()?, Relaxed);
    Ok(())
}
