//! What is stored of users: read one at a time when a flag asks for it, or page by page.

mod feed;
mod memory;
mod sample;
mod stored;

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::StoreError;
use crate::model::Profile;

pub(super) use feed::{UserFeed, one_by_one};
pub use memory::MemoryProfiles;
pub use sample::Sample;
pub(super) use sample::Sampler;
pub use stored::{Count, Cursor, MAX_PROFILE_BYTES, Patched, ProfilePatch, StoredProfile, Unwritten, profile_bytes};
pub(super) use stored::{merge, text_of};

/// The pause before changes are listened to again after that ended.
const PAUSE: Duration = Duration::from_secs(1);

/// The ids of users of whom something changed. It ends when changes may have been missed.
pub type ChangedUsers = Pin<Box<dyn Stream<Item = Arc<str>> + Send>>;

/// Some of the profiles, and where to go on; `None`: there are no more.
pub type Page = (Vec<(String, StoredProfile)>, Option<Cursor>);

/// Where profiles and activity live. Writes are not audited and do not move the world's revision: they are many, and no
/// flag is compiled from them.
#[async_trait]
pub trait ProfileStore: Send + Sync {
    /// Reads what flags ask for of a user; `None`: nothing is known.
    async fn profile(&self, user_id: &str) -> Result<Option<Profile>, StoreError>;

    /// Reads all that is stored of these users, in this order; `None`: nothing is known.
    async fn stored_profiles(&self, user_ids: &[String]) -> Result<Vec<Option<StoredProfile>>, StoreError>;

    /// Reads all that is stored of a user; `None`: nothing is known.
    async fn stored_profile(&self, user_id: &str) -> Result<Option<StoredProfile>, StoreError> {
        let found = self.stored_profiles(&[user_id.to_owned()]).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// Replaces a user's attributes and behavioral data, and says whether the profile is new; memberships and activity
    /// stay.
    async fn put_profile(&self, user_id: &str, profile: &Profile, at: Timestamp) -> Result<bool, StoreError>;

    /// The same for many users at once, without their activity. Those that could not be written are answered; the others
    /// are. When this fails, some may be written. Of a user who is named twice the later profile stays.
    async fn put_profiles(&self, profiles: &[(String, Profile)], at: Timestamp) -> Result<Vec<Unwritten>, StoreError>;

    /// Changes fields of a profile, or creates it with them. Changes of different fields at the same time are both done.
    async fn patch_profile(&self, user_id: &str, patch: &ProfilePatch, at: Timestamp) -> Result<Patched, StoreError>;

    /// Keeps the segments that users are in now, as far as they have a profile, and tells who listens to
    /// [`Self::moved_users`]. Says how many have. Flags never ask for what is kept.
    async fn set_memberships(&self, moved: &[Moved]) -> Result<usize, StoreError>;

    /// Says what a user is doing for as long as `ttl`.
    async fn put_activity(&self, user_id: &str, activity: &Map<String, Value>, ttl: Duration)
    -> Result<(), StoreError>;

    /// Says that a user is doing nothing any more, and whether anything was known.
    async fn remove_activity(&self, user_id: &str) -> Result<bool, StoreError>;

    /// Forgets a user, activity included, and says whether anything was known.
    async fn remove_profile(&self, user_id: &str) -> Result<bool, StoreError>;

    /// Reads some profiles: those behind `after`, or the first ones. A profile that is there from the first page to the
    /// last comes at least once, in no order that means anything; it may come twice. Users of whom only the activity is
    /// known do not come.
    ///
    /// A page has about `limit` profiles: maybe some more, or fewer, even none, although there are more. Its work is
    /// bounded. A cursor that the store cannot go on from (it is another server now, or the cursor is none) begins anew.
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;

    /// How many profiles there are.
    async fn count_profiles(&self) -> Result<Count, StoreError>;

    /// Draws so many of the users who have a profile, each as likely as any other, and counts all on the way. The same
    /// seed draws the same users from the same profiles, whatever store they are in.
    ///
    /// All ids are read, though no profile: of a million users that takes about a second, and memory for `size` of them.
    async fn sample(&self, size: usize, seed: u64) -> Result<Sample, StoreError>;

    /// Listens to changes. Once this returns, none goes unheard without the end of the stream.
    async fn changed_users(&self) -> Result<ChangedUsers, StoreError>;

    /// Listens to who enters and leaves segments. It ends when something may have been missed.
    async fn moved_users(&self) -> Result<MovedUsers, StoreError>;
}

/// A user who entered or left segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The user.
    pub user_id: String,
    /// The segments that the user is in now, sorted.
    #[serde(skip, default)]
    pub segments: Vec<String>,
    /// Those that are new.
    pub entered: Vec<String>,
    /// Those that were before.
    pub left: Vec<String>,
}

/// Users who moved, those of one write together.
pub type MovedUsers = Pin<Box<dyn Stream<Item = Arc<[Moved]>> + Send>>;

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
