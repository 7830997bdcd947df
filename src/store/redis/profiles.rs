//! Profiles and activity, as the service that was there before stores them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use redis::Msg;
use serde_json::{Map, Value};

use super::{RedisStore, connection::Live, error::unavailable, population, subscription, without_zone};
use crate::{
    model::Profile,
    store::{
        ChangedUsers, Count, Cursor, MAX_PROFILE_BYTES, Moved, MovedUsers, Patched, ProfilePatch, ProfileStore, Sample,
        StoreError, StoredProfile, Unwritten,
        profiles::{Page, merge, one_by_one, text_of},
    },
};

/// How many profiles are written in one step, in which the server does nothing else, and are told of in one message.
const BATCH: usize = 250;

/// How many profiles are read in one round trip.
const READ: usize = 500;

/// Stands between the users of a message; no user's id holds it.
const SEPARATOR: &str = "\0";

/// How often changes are made anew because others changed the same texts meanwhile. One of those who meet always wins.
const TRIES: usize = 1000;

/// What is stored in a field, if there is something.
type Text = Option<Vec<u8>>;

/// Attributes, behavioral data, memberships and when they were written.
type Fields = (Text, Text, Text, Text);

#[async_trait]
impl ProfileStore for RedisStore {
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError> {
        let mut look_up = redis::pipe();
        look_up.cmd("HMGET").arg(self.names.profile(user_id)).arg("attributes").arg("behavioral_data");
        look_up.cmd("GET").arg(self.names.activity(user_id));
        let mut live = self.link.live().await?;
        let read = live.pipeline(&look_up).await;
        let ((attributes, behavioral_data), activity): ((Text, Text), Text) = self.link.keep(&live, read).await?;
        if attributes.is_none() && behavioral_data.is_none() && activity.is_none() {
            return Ok(None);
        }
        let (attributes, behavioral_data, activity) = (text(attributes), text(behavioral_data), text(activity));
        Ok(Some(Profile::parse(attributes.as_deref(), behavioral_data.as_deref(), activity.as_deref())))
    }

    async fn stored_profiles(&self, user_ids: &[String]) -> Result<Vec<Option<StoredProfile>>, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.read_users(&mut live, user_ids).await;
        Ok(self.link.keep(&live, read).await?.into_iter().map(|read| read.map(|(stored, _)| stored)).collect())
    }

    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<bool, StoreError> {
        match self.put_batch(&[(user_id.to_owned(), profile.clone())], at).await?.as_slice() {
            [Ok(is_new)] => Ok(*is_new),
            [Err(why)] => Err(StoreError::Damaged(format!("the profile of {user_id:?}: {why}"))),
            _ => Err(StoreError::Damaged("the answer is about other profiles".to_owned())),
        }
    }

    async fn put_profiles(&self, profiles: &[(String, Profile)], at: Timestamp) -> Result<Vec<Unwritten>, StoreError> {
        let mut unwritten = Vec::new();
        for (number, batch) in profiles.chunks(BATCH).enumerate() {
            let done = self.put_batch(batch, at).await?.into_iter().enumerate();
            unwritten.extend(done.filter_map(|(position, done)| {
                Some(Unwritten { position: number * BATCH + position, why: done.err()? })
            }));
        }
        Ok(unwritten)
    }

    async fn patch_profile(&self, user_id: &str, patch: &ProfilePatch, at: Timestamp) -> Result<Patched, StoreError> {
        let mut live = self.link.live().await?;
        let patched = self.patch(&mut live, user_id, patch, at).await;
        self.link.keep(&live, patched).await
    }

    async fn set_memberships(&self, moved: &[Moved]) -> Result<usize, StoreError> {
        let mut kept = 0;
        for moved in moved.chunks(BATCH) {
            let mut call = self.scripts.set_memberships.prepare_invoke();
            call.arg(self.names.moves_channel()).arg(serde_json::json!(moved).to_string());
            for Moved { user_id, segments, .. } in moved {
                call.key(self.names.profile(user_id)).arg(serde_json::json!(segments).to_string());
            }
            let mut live = self.link.live().await?;
            let set: Result<usize, StoreError> = live.script(&call).await;
            kept += self.link.keep(&live, set).await?;
        }
        Ok(kept)
    }

    async fn put_activity(
        &self,
        user_id: &str,
        activity: &Map<String, Value>,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let milliseconds = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut set = redis::cmd("SET");
        set.arg(self.names.activity(user_id)).arg(text_of(activity)).arg("PX").arg(milliseconds);
        self.change(user_id, set).await.map(|_: redis::Value| ())
    }

    async fn remove_activity(&self, user_id: &str) -> Result<bool, StoreError> {
        let mut delete = redis::cmd("DEL");
        delete.arg(self.names.activity(user_id));
        self.change(user_id, delete).await
    }

    async fn remove_profile(&self, user_id: &str) -> Result<bool, StoreError> {
        let mut delete = redis::cmd("DEL");
        delete.arg(self.names.profile(user_id)).arg(self.names.activity(user_id));
        let removed: u64 = self.change(user_id, delete).await?;
        Ok(removed > 0)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.page(&mut live, after, limit).await;
        self.link.keep(&live, read).await
    }

    async fn count_profiles(&self) -> Result<Count, StoreError> {
        let mut live = self.link.live().await?;
        let counted = population::count(&mut live, &self.names).await;
        self.link.keep(&live, counted).await
    }

    async fn sample(&self, size: usize, seed: u64) -> Result<Sample, StoreError> {
        let mut live = self.link.live().await?;
        let sample = population::sample(&mut live, &self.names, size, seed).await;
        self.link.keep(&live, sample).await
    }

    async fn moved_users(&self) -> Result<MovedUsers, StoreError> {
        let moved = |message: &Msg| serde_json::from_slice::<Arc<[Moved]>>(message.get_payload_bytes()).ok();
        let messages = subscription::listen(self.link.clone(), self.names.moves_channel(), moved).await?;
        let next = async |mut messages: tokio::sync::mpsc::Receiver<_>| Some((messages.recv().await?, messages));
        Ok(Box::pin(stream::unfold(messages, next)))
    }

    async fn changed_users(&self) -> Result<ChangedUsers, StoreError> {
        let users = |message: &Msg| {
            let users = std::str::from_utf8(message.get_payload_bytes()).ok()?;
            Some(users.split(SEPARATOR).map(Arc::from).collect())
        };
        let messages = subscription::listen(self.link.clone(), self.names.users_channel(), users).await?;
        let next =
            async |mut messages: tokio::sync::mpsc::Receiver<Arc<[Arc<str>]>>| Some((messages.recv().await?, messages));
        Ok(one_by_one(stream::unfold(messages, next)))
    }
}

impl RedisStore {
    /// Does one thing, and says whose profile changed.
    async fn change<T: redis::FromRedisValue>(&self, user_id: &str, change: redis::Cmd) -> Result<T, StoreError> {
        let mut write = redis::pipe();
        write.atomic().add_command(change);
        write.cmd("PUBLISH").arg(self.names.users_channel()).arg(user_id).ignore();
        let mut live = self.link.live().await?;
        let written = live.pipeline(&write).await;
        self.link.keep(&live, written).await.map(|(answer,): (T,)| answer)
    }

    /// Writes profiles in one step; of each, whether it is new, or why it is not written.
    async fn put_batch(
        &self,
        profiles: &[(String, Profile)],
        at: Timestamp,
    ) -> Result<Vec<Result<bool, String>>, StoreError> {
        let mut call = self.scripts.put_profiles.prepare_invoke();
        let users: Vec<&str> = profiles.iter().map(|(user_id, _)| user_id.as_str()).collect();
        call.arg(self.names.users_channel()).arg(without_zone(at)).arg(users.join(SEPARATOR));
        for (user_id, profile) in profiles {
            call.key(self.names.profile(user_id));
            call.arg(text_of(&profile.attributes)).arg(text_of(&profile.behavioral_data));
        }
        let mut live = self.link.live().await?;
        let done = live.script(&call).await;
        let done: Vec<redis::Value> = self.link.keep(&live, done).await?;
        Ok(done
            .into_iter()
            .map(|done| match redis::from_redis_value::<u64>(done.clone()) {
                Ok(is_new) => Ok(is_new == 1),
                Err(_) => Err(redis::from_redis_value(done).unwrap_or_else(|error| error.to_string())),
            })
            .collect())
    }

    /// Changes what was read, if it is still that when it is written; else reads it again.
    async fn patch(
        &self,
        live: &mut Live,
        user_id: &str,
        patch: &ProfilePatch,
        at: Timestamp,
    ) -> Result<Patched, StoreError> {
        let parts = [("attributes", &patch.attributes), ("behavioral_data", &patch.behavioral_data)];
        // What nothing is: the first call reads.
        let mut expected = [const { Vec::new() }; 2];
        let mut texts = [const { Vec::new() }; 2];
        for _ in 0..TRIES {
            let mut call = self.scripts.patch_profile.key(self.names.profile(user_id));
            call.arg(self.names.users_channel()).arg(without_zone(at)).arg(user_id);
            for (((field, _), expected), text) in parts.iter().zip(&expected).zip(&texts) {
                call.arg(*field).arg(expected).arg(text);
            }
            let (outcome, found): (String, [Vec<u8>; 2]) = live.script(&call).await?;
            match &*outcome {
                "created" => return Ok(Patched::Created),
                "updated" => return Ok(Patched::Updated),
                _ => {}
            }
            for (((_, changes), found), text) in parts.iter().zip(&found).zip(&mut texts) {
                let Some(changed) = changed(found, changes) else { return Ok(Patched::Unreadable) };
                *text = changed;
            }
            let bytes = texts.iter().map(Vec::len).sum();
            if bytes > MAX_PROFILE_BYTES {
                return Ok(Patched::TooLarge(bytes));
            }
            expected = found;
        }
        Err(unavailable(format!("others change the profile of {user_id:?} all the time")))
    }

    /// What is stored of each user, and whether there is a profile, not only an activity.
    async fn read_users(
        &self,
        live: &mut Live,
        user_ids: &[String],
    ) -> Result<Vec<Option<(StoredProfile, bool)>>, StoreError> {
        let mut read = Vec::with_capacity(user_ids.len());
        for user_ids in user_ids.chunks(READ) {
            let mut asked = redis::pipe();
            for user_id in user_ids {
                asked.cmd("HMGET").arg(self.names.profile(user_id)).arg("attributes").arg("behavioral_data");
                asked.arg("segment_memberships").arg("last_updated");
            }
            let activities: Vec<String> = user_ids.iter().map(|user_id| self.names.activity(user_id)).collect();
            asked.cmd("MGET").arg(activities);
            let mut answers: Vec<redis::Value> = live.pipeline(&asked).await?;
            let unexpected = |error: redis::ParsingError| StoreError::Damaged(format!("profiles: {error}"));
            let activities = answers.pop().map_or(Ok(Vec::new()), redis::from_redis_value::<Vec<Text>>);
            for (fields, activity) in answers.into_iter().zip(activities.map_err(unexpected)?) {
                let fields = redis::from_redis_value::<Fields>(fields).map_err(unexpected)?;
                read.push(stored(fields, activity));
            }
        }
        Ok(read)
    }

    async fn page(&self, live: &mut Live, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let (user_ids, next) = population::page(live, &self.names, after, limit).await?;
        let read = self.read_users(live, &user_ids).await?;
        let found = user_ids.into_iter().zip(read);
        // One that went meanwhile was not there all the time.
        let page = found.filter_map(|(user_id, read)| {
            let (stored, is_profile) = read?;
            is_profile.then_some((user_id, stored))
        });
        Ok((page.collect(), next))
    }
}

/// What a profile's fields and an activity say, and whether there is a profile.
fn stored(fields: Fields, activity: Text) -> Option<(StoredProfile, bool)> {
    let (attributes, behavioral_data, memberships, last_updated) = fields;
    let is_profile = [&attributes, &behavioral_data, &memberships, &last_updated].into_iter().any(Option::is_some);
    if !is_profile && activity.is_none() {
        return None;
    }
    let [attributes, behavioral_data, memberships, last_updated, activity] =
        [attributes, behavioral_data, memberships, last_updated, activity].map(text);
    let profile = Profile::parse(attributes.as_deref(), behavioral_data.as_deref(), activity.as_deref());
    let segment_memberships = memberships.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let last_updated = last_updated.and_then(|text| time_of(&text));
    Some((StoredProfile { profile, segment_memberships, last_updated }, is_profile))
}

fn text(bytes: Text) -> Option<String> {
    String::from_utf8(bytes?).ok()
}

/// A time as the service that was there before writes it, or one that says its zone.
fn time_of(text: &str) -> Option<Timestamp> {
    let zoned = text.parse::<Timestamp>().ok();
    zoned.or_else(|| TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok())
}

/// A text after changes: it comes as the script tells it, `n` for none, `t` before the text. Without changes it stays as it
/// is, letter for letter. `None`: it is no object.
fn changed(found: &[u8], changes: &Map<String, Value>) -> Option<Vec<u8>> {
    let mut fields = match found.split_first() {
        Some((b't', text)) if changes.is_empty() => return Some(text.to_vec()),
        Some((b't', text)) => serde_json::from_slice(text).ok()?,
        _ => Map::new(),
    };
    merge(changes, &mut fields);
    Some(text_of(&fields).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_spellings() {
        for text in ["2026-11-24T05:26:11.942215", "2026-11-24T05:26:11.942215Z", "2026-11-24 06:26:11.942215+01:00"] {
            assert_eq!(
                time_of(text).map(|at| at.to_string()).as_deref(),
                Some("2026-11-24T05:26:11.942215Z"),
                "{text}"
            );
        }
        assert_eq!(time_of("yesterday"), None);
    }
}
