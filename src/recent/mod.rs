//! The contexts in which flags were evaluated here lately, so that a change can be tried on them before it is made.
//!
//! Who asks waits for nobody: a context is noted only while the allowance of the second lasts and nobody else is at the
//! table at that moment; else it is passed over, and counted. What is noted stays in the memory of this process: it is
//! neither stored nor logged, and gone at the end.

mod allowance;
mod table;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use serde::Serialize;

use self::{allowance::Allowance, table::Table};
use crate::config;

/// The largest context that is noted, in bytes of JSON.
const LARGEST: usize = 16 << 10;

/// Most contexts are shorter than this.
const USUAL: usize = 512;

/// A bounded memory of users' newest contexts. Cheap to clone.
#[derive(Clone)]
pub struct Recent(Option<Arc<Memory>>);

struct Memory {
    table: Mutex<Table>,
    allowance: Allowance,
    hasher: ahash::RandomState,
    passed_over: AtomicU64,
}

/// The newest context of one user.
pub struct Seen {
    user_id: Box<str>,
    attributes: Box<str>,
    at: Timestamp,
}

/// What is remembered at one moment.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Each user's newest context, the newest first, and how many requests of that user were noted.
    pub users: Vec<(Arc<Seen>, u64)>,
    /// Requests that were not noted since the start, because too many came at once or they said too much.
    pub passed_over: u64,
    /// An estimate of the memory that all this takes, in bytes.
    pub bytes: usize,
}

impl Recent {
    /// A memory as large as the configuration says.
    #[must_use]
    pub fn new(config: &config::Recent) -> Self {
        Self((config.contexts > 0).then(|| {
            Arc::new(Memory {
                table: Mutex::new(Table::new(config.contexts, config.bytes)),
                allowance: Allowance::new(config.per_second),
                hasher: ahash::RandomState::new(),
                passed_over: AtomicU64::new(0),
            })
        }))
    }

    /// A memory that remembers nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether anything is remembered at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Notes the context of a user; nobody in particular is no user. `attributes` is asked only if there is room for it
    /// now.
    ///
    /// Invariant: this never waits, and beyond the allowance it does nothing but count.
    pub fn note<A: Serialize>(&self, user_id: &str, at: Timestamp, attributes: impl FnOnce() -> A) {
        let Some(memory) = self.0.as_ref().filter(|_| !user_id.is_empty()) else { return };
        if !(memory.allowance.take(at) && memory.note(user_id, at, &attributes())) {
            memory.passed_over.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What is remembered now. Contexts that come meanwhile are passed over.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        let Some(memory) = &self.0 else { return Remembered::default() };
        let table = memory.table.lock().unwrap_or_else(PoisonError::into_inner);
        let users = table.newest_first().map(|(seen, requests)| (Arc::clone(seen), requests)).collect();
        Remembered { users, passed_over: memory.passed_over.load(Ordering::Relaxed), bytes: table.bytes() }
    }
}

impl Memory {
    /// Says whether it was noted.
    fn note(&self, user_id: &str, at: Timestamp, attributes: &impl Serialize) -> bool {
        let mut text = Bounded(Vec::with_capacity(USUAL));
        if user_id.len() > LARGEST || serde_json::to_writer(&mut text, attributes).is_err() {
            return false;
        }
        let Ok(attributes) = String::from_utf8(text.0) else { return false };
        let seen = Arc::new(Seen { user_id: user_id.into(), attributes: attributes.into(), at });
        let Ok(mut table) = self.table.try_lock() else { return false };
        table.note(self.hasher.hash_one(user_id), seen);
        true
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Recent").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}

impl Seen {
    /// The user's id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The attributes that the request said, as the JSON of an object.
    #[must_use]
    pub fn attributes(&self) -> &str {
        &self.attributes
    }

    /// When it was.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// Without what is known of the user, which belongs into no log.
impl fmt::Debug for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Seen").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A text that ends with an error when it gets too long.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn recent(contexts: usize, per_second: u32) -> Recent {
        Recent::new(&config::Recent { contexts, bytes: 1 << 20, per_second })
    }

    fn users(recent: &Recent) -> Vec<(String, u64)> {
        let users = recent.remembered().users;
        users.iter().map(|(seen, requests)| (seen.user_id().to_owned(), *requests)).collect()
    }

    #[test]
    fn a_users_newest_context_counts() {
        let recent = recent(10, 10);
        for (user, plan) in [("ann", "free"), ("bob", "pro"), ("ann", "pro"), ("", "none")] {
            recent.note(user, NOW, || json!({ "plan": plan }));
        }
        assert_eq!(users(&recent), [("ann".to_owned(), 2), ("bob".to_owned(), 1)]);
        let remembered = recent.remembered();
        assert_eq!(remembered.users[0].0.attributes(), r#"{"plan":"pro"}"#);
        assert_eq!((remembered.users[0].0.at(), remembered.passed_over), (NOW, 0));
        let shown = format!("{recent:?} {remembered:?}");
        assert!(!shown.contains("pro") && !shown.contains("ann"), "{shown}");
    }

    #[test]
    fn feeding_never_waits() {
        let recent = recent(10, 10);
        recent.note("ann", NOW, || json!({}));
        let memory = recent.0.clone().unwrap();
        let table = memory.table.lock().unwrap();
        // This thread would wait for itself for ever.
        recent.note("bob", NOW, || json!({}));
        drop(table);
        assert_eq!((users(&recent).len(), recent.remembered().passed_over), (1, 1));
    }

    #[test]
    fn beyond_the_allowance_nothing_is_even_asked_for() {
        let recent = recent(10, 3);
        let mut asked = 0;
        for user in ["a", "b", "c", "d", "e"] {
            recent.note(user, NOW, || asked += 1);
        }
        assert_eq!((asked, users(&recent).len(), recent.remembered().passed_over), (3, 3, 2));
        recent.note("d", Timestamp::from_second(1).unwrap(), || json!({}));
        assert_eq!(users(&recent).len(), 4);
        let off = Recent::off();
        off.note("a", NOW, || asked += 1);
        assert_eq!((asked, off.is_on(), off.remembered().users.len()), (3, false, 0));
    }

    #[test]
    fn who_says_too_much_is_passed_over() {
        let recent = recent(10, 10);
        recent.note("ann", NOW, || json!({ "a": "x".repeat(LARGEST) }));
        recent.note(&"x".repeat(LARGEST + 1), NOW, || json!({}));
        recent.note("bob", NOW, || json!({ "a": "x".repeat(LARGEST - 100) }));
        assert_eq!((users(&recent), recent.remembered().passed_over), (vec![("bob".to_owned(), 1)], 2));
    }

    #[test]
    fn many_threads_lose_nothing_but_what_is_counted() {
        let recent = recent(100, 1_000_000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let recent = &recent;
                scope.spawn(move || {
                    for number in 0..5_000 {
                        recent.note(&format!("user-{}", (number * 7 + thread) % 300), NOW, || json!({ "n": number }));
                    }
                });
            }
        });
        let remembered = recent.remembered();
        assert_eq!(remembered.users.len(), 100);
        assert!(remembered.passed_over < 20_000, "{}", remembered.passed_over);
    }
}
