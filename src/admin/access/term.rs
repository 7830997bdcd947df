//! Until when somebody was let in. What goes on for long ends then, not only what begins.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::clock;

/// The wall clock is looked at as often as this: it may be set, and stands still for no one.
const LOOK: Duration = Duration::from_secs(10);

/// Until when a caller may go on; `None`: for as long as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) struct Term(Option<Timestamp>);

impl Term {
    pub(super) const ENDLESS: Self = Self(None);

    /// The earlier of two ends.
    pub(super) fn of(one: Option<Timestamp>, other: Option<Timestamp>) -> Self {
        Self([one, other].into_iter().flatten().min())
    }

    /// Whether it is over.
    pub(in crate::admin) fn is_over(self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Waits until it is over.
    pub(in crate::admin) async fn over(self) {
        loop {
            match self.left() {
                None => std::future::pending().await,
                Some(Duration::ZERO) => return,
                Some(left) => sleep(left.min(LOOK)).await,
            }
        }
    }

    fn left(self) -> Option<Duration> {
        self.0.map(|until| Duration::try_from(until.duration_since(clock::now())).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_over_is_not_waited_for() {
        let (now, hour) = (clock::now(), Duration::from_secs(3600));
        for (one, other, is_over) in [
            (None, None, false),
            (Some(now + hour), None, false),
            (Some(now + hour), Some(now - hour), true),
            (None, Some(now), true),
        ] {
            let term = Term::of(one, other);
            assert_eq!(term.is_over(), is_over);
            let waited = tokio::time::timeout(Duration::ZERO, term.over()).await;
            assert_eq!(waited.is_ok(), is_over);
        }
    }
}
