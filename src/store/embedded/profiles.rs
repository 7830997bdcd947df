//! Profiles in the file of the embedded store.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use redb::{ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{EmbeddedStore, Failure, File};
use crate::{
    clock,
    model::Profile,
    store::{ChangedUsers, ProfileStore, StoreError},
};

/// User id → a profile as JSON.
const PROFILES: TableDefinition<'_, &str, &str> = TableDefinition::new("profiles");
/// User id → until when, in milliseconds since 1970, and what the user does as JSON.
const ACTIVITY: TableDefinition<'_, &str, (i64, &str)> = TableDefinition::new("activity");

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    attributes: Map<String, Value>,
    behavioral_data: Map<String, Value>,
    last_updated: Timestamp,
}

#[async_trait]
impl ProfileStore for EmbeddedStore {
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError> {
        let user_id = user_id.to_owned();
        self.blocking(move |file| read(file, &user_id)).await
    }

    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<(), StoreError> {
        let Profile { attributes, behavioral_data, activity: _ } = profile.clone();
        let stored = Stored { attributes, behavioral_data, last_updated: at };
        self.change(user_id, move |user_id, writing| {
            writing.open_table(PROFILES)?.insert(user_id, &*serde_json::to_string(&stored)?)?;
            Ok(())
        })
        .await
    }

    async fn put_activity(
        &self,
        user_id: &str,
        activity: &Map<String, Value>,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let until = clock::now().as_millisecond().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let text = Value::Object(activity.clone()).to_string();
        self.change(user_id, move |user_id, writing| {
            let mut table = writing.open_table(ACTIVITY)?;
            let now = clock::now().as_millisecond();
            table.retain(|_, (until, _)| until > now)?;
            table.insert(user_id, (until, &*text))?;
            Ok(())
        })
        .await
    }

    async fn remove_profile(&self, user_id: &str) -> Result<(), StoreError> {
        self.change(user_id, |user_id, writing| {
            writing.open_table(PROFILES)?.remove(user_id)?;
            writing.open_table(ACTIVITY)?.remove(user_id)?;
            Ok(())
        })
        .await
    }

    async fn changed_users(&self) -> Result<ChangedUsers, StoreError> {
        Ok(self.users().subscribe())
    }
}

impl EmbeddedStore {
    /// Changes what is stored of a user, in one transaction.
    async fn change(
        &self,
        user_id: &str,
        change: impl FnOnce(&str, &redb::WriteTransaction) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), StoreError> {
        let user = user_id.to_owned();
        self.blocking(move |file| {
            let writing = file.database.begin_write()?;
            change(&user, &writing)?;
            Ok(writing.commit()?)
        })
        .await?;
        self.users().send(user_id);
        Ok(())
    }
}

fn read(file: &File, user_id: &str) -> Result<Option<Profile>, Failure> {
    let reading = file.database.begin_read()?;
    let stored = match reading.open_table(PROFILES) {
        Ok(table) => table.get(user_id)?.map(|found| serde_json::from_str::<Stored>(found.value())).transpose()?,
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let now = clock::now().as_millisecond();
    let activity = match reading.open_table(ACTIVITY) {
        Ok(table) => {
            let found = table.get(user_id)?.filter(|found| found.value().0 > now);
            found.map(|found| serde_json::from_str(found.value().1)).transpose()?
        }
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if stored.is_none() && activity.is_none() {
        return Ok(None);
    }
    let Stored { attributes, behavioral_data, last_updated: _ } = stored.unwrap_or_default();
    Ok(Some(Profile { attributes, behavioral_data, activity }))
}
