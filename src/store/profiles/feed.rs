//! Tells of users who changed or moved within one process.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tokio::sync::broadcast;

use super::{ChangedUsers, Moved, MovedUsers};

/// How many messages a listener may be behind before it has to begin anew; one message names the users of one write.
const CAPACITY: usize = 4096;

/// Sends changes within one process.
#[derive(Clone, Debug)]
pub(in crate::store) struct UserFeed {
    changed: broadcast::Sender<Arc<[Arc<str>]>>,
    moved: broadcast::Sender<Arc<[Moved]>>,
}

impl UserFeed {
    pub(in crate::store) fn new() -> Self {
        Self { changed: broadcast::channel(CAPACITY).0, moved: broadcast::channel(CAPACITY).0 }
    }

    pub(in crate::store) fn send_moved(&self, moved: &[Moved]) {
        // An error says that nobody listens, which is nobody's loss.
        self.moved.send(moved.into()).ok();
    }

    pub(in crate::store) fn moved(&self) -> MovedUsers {
        let next = async |mut messages: broadcast::Receiver<_>| Some((messages.recv().await.ok()?, messages));
        Box::pin(stream::unfold(self.moved.subscribe(), next))
    }

    pub(in crate::store) fn send<'u>(&self, user_ids: impl IntoIterator<Item = &'u str>) {
        // An error says that nobody listens, which is nobody's loss.
        self.changed.send(user_ids.into_iter().map(Arc::from).collect()).ok();
    }

    pub(in crate::store) fn subscribe(&self) -> ChangedUsers {
        let next = async |mut messages: broadcast::Receiver<_>| Some((messages.recv().await.ok()?, messages));
        one_by_one(stream::unfold(self.changed.subscribe(), next))
    }
}

/// The users of messages that name several.
pub(in crate::store) fn one_by_one(
    messages: impl stream::Stream<Item = Arc<[Arc<str>]>> + Send + 'static,
) -> ChangedUsers {
    Box::pin(messages.flat_map(|users| stream::iter((0..users.len()).map(move |at| Arc::clone(&users[at])))))
}
