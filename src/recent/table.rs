//! The users who were seen last, by a hash of their id and in the order in which they were.

use std::sync::Arc;

use ahash::AHashMap;

use super::Seen;

/// What a user takes at most beside the texts: the slot and its place in the index, of which there may be twice as many as
/// are taken, and what the allocator keeps. `tests/allocations.rs` counts.
const OVERHEAD: usize = 256;

/// Marks the end of the order.
const NONE: usize = usize::MAX;

/// Users' newest contexts. Each step takes the same time, however many there are.
///
/// Invariant: there are at most as many users, of at most as many bytes in all, as were said.
#[derive(Debug)]
pub(super) struct Table {
    most: usize,
    most_bytes: usize,
    bytes: usize,
    /// By the hash of the user's id, which stands for the user: where it is in `slots`.
    index: AHashMap<u64, usize>,
    slots: Vec<Slot>,
    /// Places in `slots` where nobody is.
    free: Vec<usize>,
    newest: usize,
    oldest: usize,
}

/// One user, and the neighbours in the order.
#[derive(Debug)]
struct Slot {
    hash: u64,
    seen: Option<Arc<Seen>>,
    requests: u64,
    newer: usize,
    older: usize,
}

impl Table {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        let (index, slots, free) = (AHashMap::new(), Vec::new(), Vec::new());
        Self { most, most_bytes, bytes: 0, index, slots, free, newest: NONE, oldest: NONE }
    }

    /// Notes a user's newest context; who was not seen for the longest time makes room.
    pub(super) fn note(&mut self, hash: u64, seen: Arc<Seen>) {
        let size = size(&seen);
        if size > self.most_bytes || self.most == 0 {
            return;
        }
        let requests = self.take(hash, &seen.user_id) + 1;
        while self.index.len() >= self.most || self.bytes + size > self.most_bytes {
            let Some(oldest) = self.slots.get(self.oldest).map(|slot| slot.hash) else { break };
            self.take(oldest, "");
        }
        self.bytes += size;
        let slot = Slot { hash, seen: Some(seen), requests, newer: NONE, older: self.newest };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        match self.slots.get_mut(self.newest) {
            Some(newest) => newest.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        self.index.insert(hash, at);
    }

    /// Everybody, with the number of requests.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (&Arc<Seen>, u64)> {
        let slots = std::iter::successors(self.slots.get(self.newest), |slot| self.slots.get(slot.older));
        slots.filter_map(|slot| Some((slot.seen.as_ref()?, slot.requests)))
    }

    /// An estimate of what it all takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a user out; gives the requests until now. Two users of one hash are as good as never, and then one of them
    /// counts anew.
    fn take(&mut self, hash: u64, user_id: &str) -> u64 {
        let Some(at) = self.index.remove(&hash) else { return 0 };
        let Slot { newer, older, requests, .. } = self.slots[at];
        match self.slots.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        self.free.push(at);
        let seen = self.slots[at].seen.take();
        self.bytes -= seen.as_deref().map_or(0, size);
        if seen.is_some_and(|seen| *seen.user_id == *user_id) { requests } else { 0 }
    }
}

fn size(seen: &Seen) -> usize {
    seen.user_id.len() + seen.attributes.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn seen(user: u64, length: usize) -> Arc<Seen> {
        let at = Timestamp::UNIX_EPOCH;
        Arc::new(Seen { user_id: user.to_string().into(), attributes: "x".repeat(length).into(), at })
    }

    proptest! {
        /// Against a list that is kept in order the simple way.
        #[test]
        fn the_newest_stay(
            notes in prop::collection::vec((0_u64..12, 0_usize..3_000), 0..200),
            most in 1_usize..8,
            most_bytes in 500_usize..6_000,
        ) {
            let mut table = Table::new(most, most_bytes);
            let mut model: Vec<(u64, usize, u64)> = Vec::new();
            for (user, length) in notes {
                let noted = seen(user, length);
                let fits = size(&noted) <= most_bytes;
                table.note(user * 7, noted);
                if fits {
                    let before = model.iter().position(|known| known.0 == user).map(|at| model.remove(at));
                    model.insert(0, (user, length, before.map_or(1, |known| known.2 + 1)));
                    let bytes = |model: &[(u64, usize, u64)]| model.iter().map(|known| size(&seen(known.0, known.1))).sum::<usize>();
                    while model.len() > most || bytes(&model) > most_bytes {
                        model.pop();
                    }
                    prop_assert_eq!(table.bytes(), bytes(&model));
                }
                let found: Vec<(u64, usize, u64)> = table
                    .newest_first()
                    .map(|(seen, requests)| (seen.user_id.parse().unwrap(), seen.attributes.len(), requests))
                    .collect();
                prop_assert_eq!(&found, &model);
                prop_assert!(table.slots.len() <= most + 1);
            }
        }
    }

    #[test]
    fn two_users_of_one_hash_are_not_mixed_up() {
        let mut table = Table::new(10, 10_000);
        table.note(1, seen(1, 0));
        table.note(1, seen(1, 0));
        table.note(1, seen(2, 0));
        let found: Vec<_> = table.newest_first().map(|(seen, requests)| (seen.user_id.clone(), requests)).collect();
        assert_eq!(found, [("2".into(), 1)]);
    }
}
