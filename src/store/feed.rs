//! The change feed within one process.

use async_trait::async_trait;
use tokio::sync::broadcast::{self, Receiver, Sender};

use super::{Hint, Hints, Subscription};

/// How many hints a subscriber may be behind before it loses its subscription and has to load in full.
const CAPACITY: usize = 4096;

/// Sends hints to all subscribers; never waits for one.
#[derive(Clone, Debug)]
pub(super) struct Feed(Sender<Hint>);

/// A subscription; empty once it ended.
struct Listening(Option<Receiver<Hint>>);

impl Feed {
    pub(super) fn new() -> Self {
        Self(broadcast::channel(CAPACITY).0)
    }

    pub(super) fn send(&self, hint: Hint) {
        // An error says that nobody listens, which is nobody's loss.
        self.0.send(hint).ok();
    }

    pub(super) fn subscribe(&self) -> Hints {
        Box::new(Listening(Some(self.0.subscribe())))
    }
}

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Option<Hint> {
        let hint = self.0.as_mut()?.recv().await.ok();
        if hint.is_none() {
            self.0 = None;
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{DocumentKey, WorldRevision},
        store::Action,
    };

    fn hint(number: u64) -> Hint {
        let revision = WorldRevision { epoch: "e".into(), number };
        Hint { revision, document: DocumentKey::flag("a"), action: Action::Updated, at: None }
    }

    #[tokio::test]
    async fn who_falls_behind_loses_the_subscription_for_good() {
        let feed = Feed::new();
        let mut slow = feed.subscribe();
        for number in 0..=CAPACITY as u64 {
            feed.send(hint(number));
        }
        assert_eq!(slow.next().await, None);
        feed.send(hint(0));
        assert_eq!(slow.next().await, None);
        let mut fresh = feed.subscribe();
        feed.send(hint(1));
        assert_eq!(fresh.next().await, Some(hint(1)));
        drop(feed);
        assert_eq!(fresh.next().await, None);
    }
}
