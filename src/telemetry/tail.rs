//! Decisions as they are made, for people who watch: kept nowhere, and free while nobody does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Observed, ObservedFlag, Observer, Privacy, limit::Limit};
use crate::model::{Detail, Reason};

/// So many people may watch at once.
const MOST: usize = 16;

/// So many decisions may wait for one of them.
const WAITING: usize = 256;

/// Tells those who watch what was decided. Nobody is waited for: what a watcher does not take, and what is more than it
/// wants in a second, is passed over and counted.
#[derive(Debug)]
pub struct Tail {
    /// Whether there is anybody; looked at for each request.
    is_watched: AtomicBool,
    watchers: ArcSwap<Vec<Arc<Watcher>>>,
    privacy: Privacy,
}

/// What somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Requests of this route only.
    pub route: Option<String>,
    /// Requests for which this flag was evaluated only.
    pub flag: Option<String>,
    /// Requests of this user only.
    pub user_id: Option<String>,
    /// Only those that failed.
    pub errors: bool,
    /// At most so many in one second.
    pub per_second: u32,
    /// Whether users are named.
    pub with_users: bool,
}

#[derive(Debug)]
struct Watcher {
    wanted: Watched,
    limit: Limit,
    sender: mpsc::Sender<Box<Decision>>,
    passed_over: AtomicU64,
}

/// One who watches, until this is dropped.
#[derive(Debug)]
pub struct Watching {
    tail: Arc<Tail>,
    watcher: Arc<Watcher>,
    receiver: mpsc::Receiver<Box<Decision>>,
}

/// One request, and what was decided for it.
#[derive(Debug)]
struct Decision {
    time: Timestamp,
    duration: Duration,
    upstream_duration: Option<Duration>,
    request_id: Box<str>,
    method: http::Method,
    path: Box<str>,
    status: Option<u16>,
    failure: Option<&'static str>,
    route: Option<Arc<str>>,
    strategy: Option<&'static str>,
    upstream: Option<Arc<str>>,
    endpoint: Option<Arc<str>>,
    user_id: Option<Box<str>>,
    revision: Option<u64>,
    flags: Vec<Given>,
}

/// What one flag gave.
#[derive(Debug)]
struct Given {
    key: Arc<str>,
    variation: Box<str>,
    reason: Reason,
    detail: Option<Detail>,
}

impl Tail {
    /// Nobody watches yet.
    #[must_use]
    pub fn new(privacy: Privacy) -> Self {
        Self { is_watched: AtomicBool::new(false), watchers: ArcSwap::default(), privacy }
    }

    /// Watches from now on; `None`: too many do.
    #[must_use]
    pub fn watch(self: &Arc<Self>, wanted: Watched) -> Option<Watching> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let limit = Limit::new(wanted.per_second);
        let watcher = Arc::new(Watcher { wanted, limit, sender, passed_over: AtomicU64::new(0) });
        self.watchers.rcu(|known| {
            let mut watchers = Vec::clone(known);
            if watchers.len() < MOST {
                watchers.push(Arc::clone(&watcher));
            }
            watchers
        });
        let is_in = self.watchers.load().iter().any(|known| Arc::ptr_eq(known, &watcher));
        self.is_watched.store(true, Ordering::Relaxed);
        is_in.then(|| Watching { tail: Arc::clone(self), watcher, receiver })
    }

    fn leave(&self, watcher: &Arc<Watcher>) {
        self.watchers
            .rcu(|known| known.iter().filter(|known| !Arc::ptr_eq(known, watcher)).cloned().collect::<Vec<_>>());
        // Who comes at this moment says so after it is in.
        self.is_watched.store(false, Ordering::Relaxed);
        self.is_watched.store(!self.watchers.load().is_empty(), Ordering::Relaxed);
    }
}

impl Observer for Tail {
    fn is_wanted(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    fn request(&self, request: &Observed<'_>) {
        for watcher in self.watchers.load().iter().filter(|watcher| watcher.wanted.takes(request)) {
            let is_told = match watcher.limit.take(request.time) {
                Some(_) => watcher.sender.try_send(Box::new(Decision::of(request))).is_ok(),
                None => false,
            };
            if !is_told {
                watcher.passed_over.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Watched {
    fn takes(&self, request: &Observed<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|one| found == Some(one));
        is(&self.route, request.route.map(|route| &**route))
            && is(&self.user_id, request.user_id)
            && self.flag.as_ref().is_none_or(|flag| request.flags.iter().any(|found| **found.key == **flag))
            && (!self.errors || is_failed(request))
    }
}

/// Whether something went wrong on the side of the gateway or the upstream.
fn is_failed(request: &Observed<'_>) -> bool {
    request.is_error == Some(true) || request.failure.is_some() || request.status.is_some_and(|status| status >= 500)
}

impl Watching {
    /// The next decision, as JSON.
    ///
    /// Cancel safe: when the future is dropped before it is ready, nothing is lost.
    pub async fn next(&mut self) -> Option<Value> {
        let decision = self.receiver.recv().await?;
        let privacy = Some(&self.tail.privacy).filter(|_| self.watcher.wanted.with_users);
        Some(decision.shown(privacy))
    }

    /// How many were passed over since this was last asked.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.watcher.passed_over.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.tail.leave(&self.watcher);
    }
}

impl Given {
    fn of(flag: &ObservedFlag<'_>) -> Self {
        let ObservedFlag { key, variation, reason, detail } = *flag;
        Self { key: Arc::clone(key), variation: variation.into(), reason, detail }
    }
}

impl Decision {
    fn of(request: &Observed<'_>) -> Self {
        Self {
            time: request.time,
            duration: request.duration,
            upstream_duration: request.upstream_duration,
            request_id: request.request_id.into(),
            method: request.method.clone(),
            path: request.path.into(),
            status: request.status,
            failure: request.failure,
            route: request.route.cloned(),
            strategy: request.strategy,
            upstream: request.upstream.cloned(),
            endpoint: request.endpoint.cloned(),
            user_id: request.user_id.map(Into::into),
            revision: request.revision,
            flags: request.flags.iter().map(Given::of).collect(),
        }
    }

    /// `privacy` says how the user is named; none: not at all.
    fn shown(&self, privacy: Option<&Privacy>) -> Value {
        let flags = self.flags.iter().map(|flag| {
            let mut told = json!({ "flag": flag.key, "variation": flag.variation, "reason": flag.reason });
            if let Some(detail) = flag.detail {
                told["detail"] = json!(detail);
            }
            told
        });
        let millis = |time: Duration| (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0;
        let mut told = json!({
            "time": self.time, "request_id": self.request_id, "method": self.method.as_str(), "path": self.path,
            "status": self.status, "error": self.failure, "route": self.route, "strategy": self.strategy,
            "upstream": self.upstream, "endpoint": self.endpoint, "revision": self.revision,
            "flags": flags.collect::<Vec<_>>(), "duration_ms": millis(self.duration),
            "upstream_ms": self.upstream_duration.map(millis),
        });
        if let (Some(user_id), Some(privacy)) = (self.user_id.as_deref(), privacy) {
            told["user_id"] = privacy.shown(user_id).into();
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of a user to a route, with a flag.
    fn request(tail: &Tail, user: &str, route: &str, status: u16) {
        let (key, route): (Arc<str>, Arc<str>) = ("theme".into(), route.into());
        let flags = [ObservedFlag { key: &key, variation: "dark", reason: Reason::Rollout, detail: None }];
        tail.request(&Observed {
            time: Timestamp::UNIX_EPOCH,
            duration: Duration::from_micros(1_500),
            upstream_duration: None,
            request_id: "r",
            method: &http::Method::GET,
            headers: &http::HeaderMap::new(),
            path: "/a",
            status: Some(status),
            is_error: Some(status >= 500),
            failure: None,
            route: Some(&route),
            strategy: Some("default"),
            upstream: Some(&route),
            endpoint: None,
            user_id: Some(user),
            revision: Some(7),
            flags: &flags,
        });
    }

    #[tokio::test]
    async fn who_watches_sees_what_they_asked_for() {
        let tail = Arc::new(Tail::new(Privacy::default()));
        assert!(!tail.is_wanted());
        let all = Watched { per_second: 100, with_users: true, ..Watched::default() };
        for (wanted, expected) in [
            (all.clone(), vec!["ann", "bob", "cid"]),
            (Watched { route: Some("shop".to_owned()), ..all.clone() }, vec!["ann", "bob"]),
            (Watched { user_id: Some("bob".to_owned()), ..all.clone() }, vec!["bob"]),
            (Watched { flag: Some("theme".to_owned()), errors: true, ..all.clone() }, vec!["bob"]),
            (Watched { flag: Some("other".to_owned()), ..all.clone() }, vec![]),
        ] {
            let mut watching = tail.watch(wanted.clone()).unwrap();
            assert!(tail.is_wanted());
            request(&tail, "ann", "shop", 200);
            request(&tail, "bob", "shop", 503);
            request(&tail, "cid", "else", 404);
            let mut seen = Vec::new();
            while seen.len() < expected.len() {
                let told = watching.next().await.unwrap();
                seen.push(told["user_id"].as_str().unwrap().to_owned());
                assert_eq!((&told["flags"][0]["variation"], &told["duration_ms"]), (&json!("dark"), &json!(1.5)));
            }
            assert!(watching.receiver.try_recv().is_err());
            assert_eq!(seen, expected, "{wanted:?}");
            drop(watching);
            assert!(!tail.is_wanted());
        }
    }

    #[tokio::test]
    async fn what_is_too_much_is_counted() {
        let tail = Arc::new(Tail::new(Privacy::default()));
        let mut watching = tail.watch(Watched { per_second: 3, ..Watched::default() }).unwrap();
        let slow = tail.watch(Watched { per_second: 1_000, ..Watched::default() }).unwrap();
        for _ in 0..WAITING + 10 {
            request(&tail, "ann", "shop", 200);
        }
        assert_eq!((watching.passed_over(), slow.passed_over()), (WAITING as u64 + 7, 10));
        let told = watching.next().await.unwrap();
        assert_eq!(told.get("user_id"), None, "users are not named");
        assert_eq!(watching.passed_over(), 0);
        let others: Vec<_> = (2..MOST).map(|_| tail.watch(Watched::default()).unwrap()).collect();
        assert!(tail.watch(Watched::default()).is_none());
        drop(others);
        assert!(tail.watch(Watched::default()).is_some());
    }
}
