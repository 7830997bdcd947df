//! Drawing users and reading what is stored of them.

use crate::{
    admin::{Admin, refusal::Refusal},
    store::StoredProfile,
};

use super::PAGE;

/// With so many users or fewer, all are looked at.
const FEW: usize = 5_000;

/// How many users are drawn unless said otherwise.
pub(super) const USUAL: usize = 2_000;

/// The most users that can be drawn.
pub(super) const MOST: usize = 100_000;

/// The seed of the draw: the same users while they are the same, so that two answers can be compared.
const SEED: u64 = 0x666c_6167_6761_7465;

/// Users who were drawn, and of how many.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) users: Vec<String>,
    pub(super) total: u64,
}

impl Admin {
    /// Draws `size` users, or takes all where they are few.
    pub(super) async fn draw(&self, size: usize) -> Result<Drawn, Refusal> {
        let sample = self.profile_store.sample(size.max(FEW), SEED).await?;
        let (mut users, total) = (sample.user_ids, sample.total);
        if users.len() < usize::try_from(total).unwrap_or(usize::MAX) {
            // A part of a sample is a sample.
            users.truncate(size);
        }
        Ok(Drawn { users, total })
    }

    /// Reads what is stored of users, and tells of each who is still there.
    pub(super) async fn each_stored(
        &self,
        users: &[String],
        mut each: impl FnMut(&str, &StoredProfile) + Send,
    ) -> Result<(), Refusal> {
        for users in users.chunks(PAGE) {
            let found = self.profile_store.stored_profiles(users).await?;
            for (user_id, stored) in users.iter().zip(&found) {
                if let Some(stored) = stored {
                    each(user_id, stored);
                }
            }
        }
        Ok(())
    }
}
