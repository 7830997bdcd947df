//! Which variations a user was told to have seen, lately.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use ahash::RandomState;

use crate::clock;

/// Entries that share a cache line: where a pair of user and flag can lie.
const WAYS: usize = 8;

/// Parts of the window: it ends up to one of them early or late.
const PARTS: u32 = 16;

/// The low bits of an entry say in which part of time it was made.
const TICK: u64 = (1 << 24) - 1;

/// A table of fixed size without locks: what was seen within a window.
///
/// An entry holds 40 bits of a keyed hash of user, flag and variation, beside the bits by which its line was found, and when it
/// was made. So it forgets early where there are too many, and takes one for another less than once in 10^11 notes.
///
/// Invariant: what is `Known` was noted within the window; what is new is never taken for known by a race.
#[derive(Debug)]
pub(super) struct Seen {
    lines: Box<[Line]>,
    hasher: RandomState,
    began: Instant,
    /// How long a part of the window is, in nanoseconds.
    part: u64,
    /// Enters into all hashes: another number forgets everything.
    life: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; WAYS]);

/// A user at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    user: u64,
    tick: u64,
}

/// What a note told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It was seen within the window.
    Known,
    /// It was not, and has a place now unless others were faster.
    New(Option<Place>),
}

/// Where something was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    line: usize,
    way: usize,
    entry: u64,
}

impl Seen {
    /// A table of so many entries (rounded up) for this window.
    pub(super) fn new(entries: usize, window: Duration) -> Self {
        let lines = entries.div_ceil(WAYS).next_power_of_two();
        let part = u64::try_from((window / PARTS).as_nanos()).unwrap_or(u64::MAX).max(1);
        let began = clock::monotonic();
        let lines = std::iter::repeat_with(Line::default).take(lines).collect();
        Self { lines, hasher: RandomState::new(), began, part, life: AtomicU64::new(0) }
    }

    /// A user who sees something now.
    pub(super) fn visit(&self, user_id: &str) -> Visit {
        self.visit_at(user_id, clock::monotonic().duration_since(self.began))
    }

    fn visit_at(&self, user_id: &str, elapsed: Duration) -> Visit {
        let tick = (u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX) / self.part + 1) & TICK;
        Visit { user: self.hasher.hash_one((self.life.load(Ordering::Relaxed), user_id)), tick }
    }

    /// Notes what a user sees.
    pub(super) fn note(&self, Visit { user, tick }: Visit, flag: &str, variation: &str) -> Noted {
        let hash = self.hasher.hash_one((user, flag, variation));
        let line = usize::try_from(hash & TICK).unwrap_or(0) & (self.lines.len() - 1);
        // An entry is never 0, which is an empty place.
        let entry = (hash & !TICK) | tick.max(1);
        let ways = &self.lines[line].0;
        // Another round only if somebody wrote here meanwhile.
        for _ in 0..WAYS {
            let mut best: Option<(u64, usize, u64)> = None;
            for (way, place) in ways.iter().enumerate() {
                let found = place.load(Ordering::Relaxed);
                let age = if found == 0 { u64::MAX } else { age(found, tick) };
                let is_same = found & !TICK == entry & !TICK && found != 0;
                if is_same && age < u64::from(PARTS) {
                    return Noted::Known;
                }
                // The old entry of the same makes place for the new one, so that there is only one.
                let age = if is_same { u64::MAX } else { age };
                if best.is_none_or(|(oldest, _, _)| age > oldest) {
                    best = Some((age, way, found));
                }
            }
            let Some((_, way, found)) = best else { break };
            if ways[way].compare_exchange(found, entry, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Noted::New(Some(Place { line, way, entry }));
            }
        }
        Noted::New(None)
    }

    /// Forgets what was noted.
    pub(super) fn forget(&self, Place { line, way, entry }: Place) {
        // An error says that somebody else has that place by now.
        self.lines[line].0[way].compare_exchange(entry, 0, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// Forgets everything.
    pub(super) fn forget_all(&self) {
        self.life.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many parts of time ago an entry was made. One of a later part was made by a thread that was faster.
fn age(entry: u64, tick: u64) -> u64 {
    let age = tick.wrapping_sub(entry & TICK) & TICK;
    if age > TICK / 2 { 0 } else { age }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(16);

    fn note(seen: &Seen, user: &str, flag: &str, variation: &str, second: u64) -> bool {
        seen.note(seen.visit_at(user, Duration::from_secs(second)), flag, variation) != Noted::Known
    }

    #[test]
    fn once_in_a_window() {
        let seen = Seen::new(1024, WINDOW);
        for (user, flag, variation, second, is_new) in [
            ("ann", "a", "true", 0, true),
            ("ann", "a", "true", 5, false),
            ("ann", "a", "false", 5, true),
            ("ann", "a", "true", 6, false),
            ("ann", "b", "true", 6, true),
            ("bob", "a", "true", 6, true),
            ("ann", "a", "true", 15, false),
            ("ann", "a", "true", 16, true),
            ("ann", "a", "true", 17, false),
            // The clock of another thread was read earlier.
            ("ann", "a", "true", 15, false),
        ] {
            assert_eq!(note(&seen, user, flag, variation, second), is_new, "{user} {flag} {variation} {second}");
        }
        seen.forget_all();
        assert!(note(&seen, "ann", "a", "true", 18));
    }

    #[test]
    fn what_did_not_get_on_is_new_again() {
        let seen = Seen::new(64, WINDOW);
        let user = seen.visit("ann");
        let Noted::New(Some(place)) = seen.note(user, "a", "true") else { panic!("it is new") };
        assert_eq!(seen.note(user, "a", "true"), Noted::Known);
        seen.forget(place);
        assert!(matches!(seen.note(user, "a", "true"), Noted::New(Some(_))));
    }

    #[test]
    fn a_table_that_is_full_forgets_and_never_makes_up() {
        let seen = Seen::new(64, WINDOW);
        let mut known = HashSet::new();
        for round in 0..3 {
            for user in 0..1000 {
                let is_new = note(&seen, &user.to_string(), "a", "true", 0);
                assert!(is_new || known.contains(&user), "{round}: {user} was never noted");
                known.insert(user);
            }
        }
        // As many as fit well are all remembered.
        let seen = Seen::new(1 << 16, WINDOW);
        for is_new in [true, false] {
            let wrong = (0..10_000).filter(|user| note(&seen, &user.to_string(), "a", "true", 1) != is_new).count();
            assert_eq!(wrong, 0);
        }
    }

    #[test]
    fn threads_at_once_lose_nothing() {
        let seen = Seen::new(1 << 14, WINDOW);
        let users = 4_000;
        let told: Vec<Vec<bool>> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..users).map(|user| note(&seen, &user.to_string(), "a", "b", 0)).collect()))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for user in 0..users {
            assert!(told.iter().any(|told| told[user]), "{user} was told by nobody");
        }
    }
}
