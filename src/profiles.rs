//! Users' profiles, looked up when a flag asks for what the request does not say: within a budget, behind a bounded cache.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use crate::{clock, config, model::Profile, telemetry::ProfileMetrics};

/// Look-ups under way at once; what comes beyond is evaluated without a profile at once.
const LOOK_UPS: usize = 256;

/// A look-up that nobody waits for any more still fills the cache, but not for longer than this.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(1);

/// A timer rings up to this late: it counts whole milliseconds, and so does the wait for events below it.
const LATE: Duration = Duration::from_millis(2);

/// A look-up of one profile; `None`: the user has none.
pub type LookUp = Pin<Box<dyn Future<Output = Result<Option<Profile>, String>> + Send>>;

/// Where profiles are looked up.
pub type Source = Box<dyn Fn(&str) -> LookUp + Send + Sync>;

/// What is known of a user.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The profile; `None`: there is none.
    Profile(Option<Arc<Profile>>),
    /// It could not be looked up in time.
    Unavailable,
}

impl Found {
    /// The profile, if there is one.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        match self {
            Self::Profile(profile) => profile.as_deref(),
            Self::Unavailable => None,
        }
    }
}

/// Looks profiles up. Cheap to clone.
#[derive(Clone)]
pub struct Profiles(Arc<Inner>);

struct Inner {
    source: Source,
    /// Where look-ups run: not on the threads that serve requests, as a store ties its connection to who connects.
    runtime: Handle,
    /// How long is waited, so that no more than the budget is spent.
    patience: Duration,
    ttl: Duration,
    cache: Cache<String, Cached>,
    look_ups: Semaphore,
    metrics: ProfileMetrics,
}

/// Invariant: what is cached is used until its deadline or [`Profiles::forget`], whichever is first.
#[derive(Clone)]
struct Cached {
    profile: Option<Arc<Profile>>,
    until: Instant,
}

impl Profiles {
    /// Profiles from `source`, which is asked on the runtime that this is called on.
    ///
    /// # Panics
    /// There is no runtime.
    #[must_use]
    pub fn new(source: Source, config: &config::Profiles, metrics: ProfileMetrics) -> Self {
        Self(Arc::new(Inner {
            source,
            runtime: Handle::current(),
            patience: config.budget - LATE.min(config.budget / 2),
            ttl: config.cache_ttl,
            cache: Cache::new(config.cache_entries),
            look_ups: Semaphore::new(LOOK_UPS),
            metrics,
        }))
    }

    /// What the cache holds of a user, without waiting.
    #[must_use]
    pub fn cached(&self, user_id: &str) -> Option<Found> {
        let cached = self.0.fresh(user_id)?;
        self.0.metrics.cached.inc();
        Some(Found::Profile(cached.profile))
    }

    /// What is known of a user, waiting no longer than the budget.
    pub async fn get(&self, user_id: &str) -> Found {
        if let Some(found) = self.cached(user_id) {
            return found;
        }
        let (inner, metrics, user) = (Arc::clone(&self.0), &self.0.metrics, user_id.to_owned());
        // A task of its own, so that a slow answer still fills the cache.
        let look_up = self.0.runtime.spawn(async move { inner.look_up(user).await });
        let (counter, found) = match timeout(self.0.patience, look_up).await {
            Ok(Ok(Some(profile))) => (&metrics.looked_up, Found::Profile(profile)),
            Ok(Ok(None) | Err(_)) | Err(_) => (&metrics.unavailable, Found::Unavailable),
        };
        counter.inc();
        found
    }

    /// Forgets a user whose profile or activity changed; the next one who asks looks it up.
    pub fn forget(&self, user_id: &str) {
        self.0.cache.remove(user_id);
    }

    /// Forgets all users: changes may have been missed.
    pub fn forget_all(&self) {
        self.0.cache.clear();
    }
}

impl Inner {
    fn fresh(&self, user_id: &str) -> Option<Cached> {
        self.cache.get(user_id).filter(|cached| cached.until > clock::monotonic())
    }

    /// One look-up for all who ask for the same user at once. `None`: there is no answer.
    async fn look_up(&self, user: String) -> Option<Option<Arc<Profile>>> {
        let _permit = self.look_ups.try_acquire().ok()?;
        if self.cache.peek(&user).is_some_and(|cached| cached.until <= clock::monotonic()) {
            self.cache.remove(&user);
        }
        match self.cache.get_value_or_guard_async(&user).await {
            Ok(cached) => Some(cached.profile),
            Err(guard) => {
                let answer = timeout(LOOK_UP_WITHIN, (self.source)(&user)).await;
                let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                let profile = answer.inspect_err(|error| log::debug!("profiles: {error}")).ok()?.map(Arc::new);
                let cached = Cached { profile: profile.clone(), until: clock::monotonic() + self.ttl };
                // An error says that the user was forgotten meanwhile: what was read may be old.
                guard.insert(cached).ok();
                Some(profile)
            }
        }
    }
}

impl fmt::Debug for Profiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Profiles").field("cached", &self.0.cache.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::{sync::Notify, task::JoinSet};

    use super::*;
    use crate::telemetry::Metrics;

    const LONG: Duration = Duration::from_secs(60);

    /// Profiles from a source, and how often that was asked.
    fn profiles(
        budget: Duration,
        ttl: Duration,
        answer: impl Fn(usize) -> LookUp + Send + Sync + 'static,
    ) -> (Profiles, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let source: Source = Box::new(move |_| answer(count.fetch_add(1, SeqCst)));
        let config = config::Profiles { enabled: true, budget, cache_entries: 100, cache_ttl: ttl };
        (Profiles::new(source, &config, Metrics::new().profiles()), asked)
    }

    fn profile(number: usize) -> Option<Profile> {
        Some(Profile::parse(Some(&format!("{{\"n\": {number}}}")), None, None))
    }

    fn found(number: usize) -> Found {
        Found::Profile(profile(number).map(Arc::new))
    }

    #[tokio::test]
    async fn a_user_is_looked_up_once_until_forgotten() {
        let (profiles, asked) = profiles(LONG, LONG, |number| Box::pin(async move { Ok(profile(number)) }));
        assert_eq!(profiles.cached("ann"), None);
        let (one, other) = tokio::join!(profiles.get("ann"), profiles.get("ann"));
        assert_eq!((one, other, asked.load(SeqCst)), (found(0), found(0), 1));
        assert_eq!(profiles.cached("ann"), Some(found(0)));
        profiles.forget("ann");
        assert_eq!((profiles.get("ann").await, profiles.get("ann").await), (found(1), found(1)));
        profiles.forget_all();
        assert_eq!(profiles.get("ann").await, found(2));
    }

    #[tokio::test]
    async fn that_there_is_none_is_known_too_and_what_is_old_is_looked_up_again() {
        let (none, asked) = profiles(LONG, LONG, |_| Box::pin(async { Ok(None) }));
        assert_eq!((none.get("ann").await, none.get("ann").await), (Found::Profile(None), Found::Profile(None)));
        assert_eq!(asked.load(SeqCst), 1);
        let (short, _) = profiles(LONG, Duration::ZERO, |number| Box::pin(async move { Ok(profile(number)) }));
        assert_eq!((short.get("ann").await, short.get("ann").await), (found(0), found(1)));
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let (profiles, _) = profiles(LONG, LONG, |number| {
            Box::pin(async move { if number == 0 { Err("down".to_owned()) } else { Ok(profile(number)) } })
        });
        assert_eq!((profiles.get("ann").await, profiles.get("ann").await), (Found::Unavailable, found(1)));
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_budget_but_a_late_answer_counts() {
        let release = Arc::new(Notify::new());
        let released = Arc::clone(&release);
        let (profiles, asked) = profiles(Duration::from_millis(5), LONG, move |number| {
            let released = Arc::clone(&released);
            Box::pin(async move {
                released.notified().await;
                Ok(profile(number))
            })
        });
        assert_eq!(profiles.get("ann").await, Found::Unavailable);
        release.notify_one();
        while profiles.cached("ann").is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!((profiles.cached("ann"), asked.load(SeqCst)), (Some(found(0)), 1));
    }

    #[tokio::test]
    async fn look_ups_that_hang_do_not_pile_up() {
        let (profiles, asked) = profiles(Duration::from_millis(5), LONG, |_| Box::pin(std::future::pending()));
        let mut waiting = JoinSet::new();
        for number in 0..LOOK_UPS * 2 {
            let profiles = profiles.clone();
            waiting.spawn(async move { profiles.get(&format!("user-{number}")).await });
        }
        assert!(waiting.join_all().await.iter().all(|found| *found == Found::Unavailable));
        assert!(asked.load(SeqCst) <= LOOK_UPS, "{}", asked.load(SeqCst));
    }
}
