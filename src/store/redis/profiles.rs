//! Profiles and activity, as the service that was there before stores them.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use jiff::Timestamp;
use redis::Msg;
use serde_json::{Map, Value};

use super::{RedisStore, subscription, without_zone};
use crate::{
    model::Profile,
    store::{ChangedUsers, ProfileStore, StoreError},
};

#[async_trait]
impl ProfileStore for RedisStore {
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError> {
        let mut look_up = redis::pipe();
        look_up.cmd("HMGET").arg(self.names.profile(user_id)).arg("attributes").arg("behavioral_data");
        look_up.cmd("GET").arg(self.names.activity(user_id));
        let mut live = self.link.live().await?;
        let read = live.pipeline(&look_up).await;
        type Text = Option<Vec<u8>>;
        let ((attributes, behavioral_data), activity): ((Text, Text), Text) = self.link.keep(&live, read).await?;
        if attributes.is_none() && behavioral_data.is_none() && activity.is_none() {
            return Ok(None);
        }
        let text = |bytes: Text| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let (attributes, behavioral_data, activity) = (text(attributes), text(behavioral_data), text(activity));
        Ok(Some(Profile::parse(attributes.as_deref(), behavioral_data.as_deref(), activity.as_deref())))
    }

    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<(), StoreError> {
        let (key, text) = (self.names.profile(user_id), |fields: &Map<_, _>| Value::Object(fields.clone()).to_string());
        let mut write = redis::pipe();
        write.atomic().cmd("HSET").arg(&key).arg("attributes").arg(text(&profile.attributes));
        write.arg("behavioral_data").arg(text(&profile.behavioral_data)).arg("last_updated").arg(without_zone(at));
        write.cmd("HSETNX").arg(&key).arg("segment_memberships").arg("[]");
        self.change(user_id, write).await
    }

    async fn put_activity(
        &self,
        user_id: &str,
        activity: &Map<String, Value>,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let milliseconds = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut write = redis::pipe();
        write.atomic().cmd("SET").arg(self.names.activity(user_id)).arg(Value::Object(activity.clone()).to_string());
        write.arg("PX").arg(milliseconds);
        self.change(user_id, write).await
    }

    async fn remove_profile(&self, user_id: &str) -> Result<(), StoreError> {
        let mut write = redis::pipe();
        write.atomic().cmd("DEL").arg(self.names.profile(user_id)).arg(self.names.activity(user_id));
        self.change(user_id, write).await
    }

    async fn changed_users(&self) -> Result<ChangedUsers, StoreError> {
        let user = |message: &Msg| Some(String::from_utf8(message.get_payload_bytes().to_vec()).ok()?.into());
        let users = subscription::listen(self.link.clone(), self.names.users_channel(), user).await?;
        Ok(Box::pin(stream::unfold(users, async |mut users| Some((users.recv().await?, users)))))
    }
}

impl RedisStore {
    /// Writes, and says whose profile changed.
    async fn change(&self, user_id: &str, mut write: redis::Pipeline) -> Result<(), StoreError> {
        write.cmd("PUBLISH").arg(self.names.users_channel()).arg(user_id);
        let mut live = self.link.live().await?;
        let written: Result<redis::Value, StoreError> = live.pipeline(&write).await;
        self.link.keep(&live, written).await.map(drop)
    }
}
