//! When what users are doing runs out.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

/// So many users are remembered. Whose activity runs out last is passed over when there are more.
const MOST: usize = 100_000;

/// The users whose activity was written here, by when it runs out.
///
/// Invariant: there are at most as many as were said, each once.
#[derive(Debug)]
pub(super) struct Activities {
    most: usize,
    ends: BTreeSet<(Instant, Arc<str>)>,
    of_user: HashMap<Arc<str>, Instant>,
}

impl Default for Activities {
    fn default() -> Self {
        Self { most: MOST, ends: BTreeSet::new(), of_user: HashMap::new() }
    }
}

impl Activities {
    /// A user's activity counts until then; `None`: there is none any more.
    pub(super) fn note(&mut self, user_id: &str, until: Option<Instant>) {
        if let Some((user_id, end)) = self.of_user.remove_entry(user_id) {
            self.ends.remove(&(end, user_id));
        }
        let Some(until) = until else { return };
        let user_id: Arc<str> = user_id.into();
        self.ends.insert((until, Arc::clone(&user_id)));
        self.of_user.insert(user_id, until);
        if self.ends.len() > self.most
            && let Some((_, last)) = self.ends.pop_last()
        {
            self.of_user.remove(&last);
        }
    }

    /// When the first of them runs out.
    pub(super) fn next(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Takes out at most so many of those that have run out.
    pub(super) fn take_ended(&mut self, now: Instant, most: usize) -> Vec<String> {
        let mut ended = Vec::new();
        while ended.len() < most
            && self.next().is_some_and(|end| end <= now)
            && let Some((_, user_id)) = self.ends.pop_first()
        {
            self.of_user.remove(&user_id);
            ended.push(user_id.to_string());
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn the_first_to_run_out_comes_first() {
        let now = clock::monotonic();
        let at = |second: u64| now + Duration::from_secs(second);
        let mut activities = Activities { most: 3, ..Activities::default() };
        for (user, end) in [("ann", 5), ("bob", 2), ("cid", 3), ("ann", 1), ("dan", 9)] {
            activities.note(user, Some(at(end)));
        }
        activities.note("cid", None);
        assert_eq!((activities.next(), activities.of_user.len()), (Some(at(1)), 2));
        assert_eq!(activities.take_ended(at(0), 10), [""; 0]);
        assert_eq!(activities.next(), Some(at(1)), "who has not run out stays");
        assert_eq!(activities.take_ended(at(2), 1), ["ann"]);
        assert_eq!(activities.take_ended(at(2), 10), ["bob"]);
        assert_eq!((activities.next(), activities.of_user.len(), activities.ends.len()), (None, 0, 0));
    }
}
