//! What requests, applications and users tell of themselves, brought to the store once a second.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus::{IntCounter, Registry};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    clock,
    model::{Arm, Reason, Users},
    snapshot::SnapshotCell,
    store::{Acted, AnalyticsStore, Experience, Exposure, MOST_PARTICIPANTS},
    telemetry::{Action, Evaluated, Observed, ObservedFlag, Observer},
};

/// What was noted waits for the store here; what has no room is dropped and counted.
const WAITING: usize = 65_536;

/// Meetings of users and variations are remembered in so many lines of the processor's cache, so that each is noted about once
/// in [`WINDOW`]. Those of a request lie in one line, or in some beside each other: what is not in the cache is fetched once.
const LINES: usize = 1 << 16;

/// So many meetings are in a line.
const PLACES: usize = 16;

/// So many of a request lie in one line. Where all users of a line had more than fits, they would push each other out again and
/// again, and be noted with each request.
const TOGETHER: usize = PLACES / 2;

/// The low bits of what is remembered say in which window it was; 0: the place is empty.
const WINDOWS: u32 = (1 << 6) - 1;

/// After so many seconds a meeting is noted anew.
const WINDOW: i64 = 600;

/// At most so much is brought at a time: the store does nothing else meanwhile.
const MOST: usize = 2_000;

/// How often it is brought.
const EVERY: Duration = Duration::from_secs(1);

/// What a user did waits for so long: the exposure before it may come from another gateway, and a bit later.
const SETTLE: Duration = Duration::from_secs(3);

/// How long what was noted waits for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the last may take at the end.
const LAST: Duration = Duration::from_millis(500);

/// The longest name of an action.
const LONGEST: usize = 128;

/// What is counted of this itself.
#[derive(Clone, Debug)]
pub struct AnalyticsMetrics {
    dropped: IntCounter,
    left_out: IntCounter,
}

impl AnalyticsMetrics {
    /// Adds them to a registry.
    ///
    /// # Errors
    /// They are there already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let dropped = IntCounter::new(
            "flaggate_analytics_dropped_total",
            "Users and actions that analytics do not know of, because too many came at once or the store was away.",
        )?;
        let left_out =
            IntCounter::new("flaggate_analytics_left_out_total", "Users of flags beyond those whose users are kept.")?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(left_out.clone()))?;
        Ok(Self { dropped, left_out })
    }
}

/// Something that was noted.
#[derive(Debug)]
enum Noted {
    Met { arm: Arm, user: u64, is_drawn: bool, at: Instant },
    Did { event: Arc<str>, user: u64, value: f64, at: Instant },
}

/// Notes who meets what. It never waits: a user and a variation that met lately are known by one number in a table without a
/// lock, and everything else goes into a bounded queue.
pub struct Watcher {
    remembered: Box<[Line]>,
    hasher: ahash::RandomState,
    queue: mpsc::Sender<Noted>,
    dropped: IntCounter,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU32; PLACES]);

/// Who meets something in one request.
struct Visitor {
    user: u64,
    /// Hash of the user, by which the first line is found.
    line: u64,
    window: u32,
    /// So many meetings were looked up.
    met: usize,
}

/// The other end of the queue.
#[derive(Debug)]
pub struct Notes(mpsc::Receiver<Noted>);

impl Watcher {
    /// A watcher, and what it notes.
    #[must_use]
    pub fn new(metrics: &AnalyticsMetrics) -> (Arc<Self>, Notes) {
        let (queue, notes) = mpsc::channel(WAITING);
        let remembered = std::iter::repeat_with(Line::default).take(LINES).collect();
        let hasher = ahash::RandomState::new();
        (Arc::new(Self { remembered, hasher, queue, dropped: metrics.dropped.clone() }), Notes(notes))
    }

    /// Somebody at a time; nobody has no id.
    fn visitor(&self, user_id: Option<&str>, second: i64) -> Option<Visitor> {
        let user = Users::hash(user_id.filter(|user_id| !user_id.is_empty())?);
        let window = second.div_euclid(WINDOW).rem_euclid(i64::from(WINDOWS)) + 1;
        let window = u32::try_from(window).expect("it is at most WINDOWS");
        Some(Visitor { user, line: self.hasher.hash_one(user), window, met: 0 })
    }

    /// Notes that a user met an arm, unless that is known. `names` are what tells the arm from others.
    fn meet(&self, visitor: &mut Visitor, names: (&str, &str, &str), is_drawn: bool, arm: impl FnOnce() -> Arm) {
        let hash = self.hasher.hash_one((visitor.line, names, is_drawn));
        let known = (hash >> 32) as u32 & !WINDOWS | visitor.window;
        let line = (visitor.line as usize).wrapping_add(visitor.met / TOGETHER) % LINES;
        visitor.met += 1;
        let places = &self.remembered[line].0;
        if places.iter().any(|place| place.load(Ordering::Relaxed) == known) {
            return;
        }
        let is_free = |place: &&AtomicU32| place.load(Ordering::Relaxed) & WINDOWS != visitor.window;
        let place = places.iter().find(is_free).unwrap_or(&places[hash as usize % PLACES]);
        let met = Noted::Met { arm: arm(), user: visitor.user, is_drawn, at: clock::monotonic() };
        match self.queue.try_send(met) {
            Ok(()) => place.store(known, Ordering::Relaxed),
            Err(_) => self.dropped.inc(),
        }
    }

    fn flags(&self, visitor: &mut Visitor, flags: &[ObservedFlag<'_>]) {
        for flag in flags {
            // Who got a variation by a rule is not comparable with who got one by a draw.
            let is_drawn = matches!(flag.reason, Reason::Rollout | Reason::Default) && flag.detail.is_none();
            self.meet(visitor, (flag.key, flag.variation, ""), is_drawn, || Arm::Variation {
                flag: Arc::clone(flag.key),
                variation: flag.variation.into(),
            });
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl Observer for Watcher {
    fn request(&self, request: &Observed<'_>) {
        let Some(mut visitor) = self.visitor(request.user_id, request.time.as_second()) else { return };
        self.flags(&mut visitor, request.flags);
        if let (Some(route), Some(strategy), Some(upstream)) = (request.route, request.strategy, request.upstream) {
            self.meet(&mut visitor, (route, strategy, upstream), false, || Arm::Route {
                route: Arc::clone(route),
                strategy: strategy.into(),
                upstream: Arc::clone(upstream),
            });
        }
    }

    fn evaluated(&self, evaluated: &Evaluated<'_>) {
        let Some(mut visitor) = self.visitor(evaluated.user_id, evaluated.time.as_second()) else { return };
        self.flags(&mut visitor, evaluated.flags);
    }

    fn acted(&self, action: &Action<'_>) {
        let is_named = !action.user_id.is_empty() && action.event.len() <= LONGEST;
        if !is_named {
            return;
        }
        let value = action.value.filter(|value| value.is_finite()).unwrap_or(0.0);
        let user = Users::hash(action.user_id);
        let did = Noted::Did { event: action.event.into(), user, value, at: clock::monotonic() };
        if self.queue.try_send(did).is_err() {
            self.dropped.inc();
        }
    }
}

/// Brings what was noted to the store once a second, until `stop` is ready; then once more.
pub async fn flush_experience(
    store: Arc<dyn AnalyticsStore>,
    cell: SnapshotCell,
    gateway: Arc<str>,
    mut notes: Notes,
    metrics: AnalyticsMetrics,
    stop: impl Future<Output = ()>,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    let mut pending = Pending::new(gateway);
    let (mut is_stopping, mut is_well) = (false, true);
    while !is_stopping {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut stop => is_stopping = true,
        }
        loop {
            metrics.dropped.inc_by(pending.forget(clock::monotonic()));
            let is_full = pending.fill(&mut notes.0, &cell, if is_stopping { Duration::ZERO } else { SETTLE });
            let Some(experience) = pending.experience(clock::monotonic()) else { break };
            let patience = if is_stopping { LAST } else { PATIENCE };
            let sent = timeout(patience, store.deliver(&experience)).await;
            let sent =
                sent.map_err(|_| "no answer in time".to_owned()).and_then(|sent| sent.map_err(|e| e.to_string()));
            match (&sent, is_well) {
                (Err(error), true) => log::warn!("analytics: what users do waits for the store: {error}"),
                (Ok(_), false) => log::info!("analytics: the store takes what users do again"),
                (Ok(_), true) | (Err(_), false) => {}
            }
            is_well = sent.is_ok();
            let Ok(left_out) = sent else { break };
            metrics.left_out.inc_by(left_out as u64);
            pending.sent();
            if !is_full {
                break;
            }
        }
    }
}

/// What is to be brought next. It stays the same until it has arrived: it may have arrived although no answer came, and its
/// number tells.
#[derive(Debug)]
struct Pending {
    gateway: Arc<str>,
    number: u64,
    began: Option<Instant>,
    visits: BTreeMap<Arm, BTreeSet<u64>>,
    exposures: Vec<(Exposure, Instant)>,
    actions: Vec<(Acted, Instant)>,
    /// Actions that have to settle first.
    settling: VecDeque<(Acted, Instant)>,
}

impl Pending {
    fn new(gateway: Arc<str>) -> Self {
        Self {
            gateway,
            number: 1,
            began: None,
            visits: BTreeMap::new(),
            exposures: Vec::new(),
            actions: Vec::new(),
            settling: VecDeque::new(),
        }
    }

    /// Takes in what was noted, if what is pending has arrived; says whether there may be more.
    fn fill(&mut self, notes: &mut mpsc::Receiver<Noted>, cell: &SnapshotCell, settle: Duration) -> bool {
        if self.began.is_some() {
            return true;
        }
        let (snapshot, now) = (cell.load(), clock::now());
        let mut seen = BTreeSet::new();
        let mut taken = 0;
        while taken < MOST
            && let Ok(noted) = notes.try_recv()
        {
            taken += 1;
            match noted {
                Noted::Met { arm, user, is_drawn, at } => {
                    let is_new = self.visits.entry(arm.clone()).or_default().insert(user);
                    if let Arm::Variation { flag, variation } = arm
                        && is_drawn
                        && (seen.insert((Arc::clone(&flag), Arc::clone(&variation), user)) || is_new)
                        && snapshot.draws(&flag, now)
                    {
                        self.exposures.push((Exposure { flag, variation, user, age: Duration::ZERO }, at));
                    }
                }
                Noted::Did { event, user, value, at } => {
                    self.settling.push_back((Acted { user, event, value, age: Duration::ZERO }, at));
                }
            }
        }
        let monotonic = clock::monotonic();
        let settled = self.settling.partition_point(|(_, at)| monotonic.duration_since(*at) >= settle).min(MOST);
        self.actions.extend(self.settling.drain(..settled));
        if !(self.visits.is_empty() && self.exposures.is_empty() && self.actions.is_empty()) {
            self.began = Some(monotonic);
        }
        taken == MOST || settled == MOST
    }

    /// What is brought, with ages as of now.
    fn experience(&self, now: Instant) -> Option<Experience> {
        self.began?;
        let visits = self.visits.iter().map(|(arm, users)| (arm.clone(), users.iter().copied().collect()));
        let age = |at: &Instant| now.saturating_duration_since(*at);
        let exposures = self.exposures.iter().map(|(exposure, at)| Exposure { age: age(at), ..exposure.clone() });
        let actions = self.actions.iter().map(|(acted, at)| Acted { age: age(at), ..acted.clone() });
        Some(Experience {
            gateway: Arc::clone(&self.gateway),
            number: self.number,
            visits: visits.collect(),
            exposures: exposures.collect(),
            actions: actions.collect(),
            most: MOST_PARTICIPANTS,
        })
    }

    /// It has arrived.
    fn sent(&mut self) {
        self.number += 1;
        self.began = None;
        self.visits.clear();
        self.exposures.clear();
        self.actions.clear();
    }

    /// Gives up what has waited for too long, and says how much that was.
    fn forget(&mut self, now: Instant) -> u64 {
        if self.began.is_none_or(|began| now.duration_since(began) <= PATIENCE) {
            return 0;
        }
        let given_up = self.exposures.len() + self.actions.len();
        self.sent();
        given_up as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_again_is_hardly_ever_noted_again() {
        let metrics = AnalyticsMetrics::register(&Registry::new()).unwrap();
        let (watcher, mut notes) = Watcher::new(&metrics);
        let names: Vec<String> = (0..21).map(|flag| format!("flag-{flag}")).collect();
        let mut noted = |users: u64, flags: usize, second: i64| {
            for user in 0..users {
                let mut visitor = watcher.visitor(Some(&user.to_string()), second).unwrap();
                for name in &names[..flags] {
                    watcher.meet(&mut visitor, (name, "on", ""), true, || Arm::Variation {
                        flag: name.as_str().into(),
                        variation: "on".into(),
                    });
                }
            }
            std::iter::from_fn(|| notes.0.try_recv().ok()).count()
        };
        // Each window finds the table as the ones before left it.
        for (at, (users, flags)) in
            [(60_000, 1), (10_000, 6), (3_000, 21), (60_000, 1), (10_000, 6)].into_iter().enumerate()
        {
            let second = WINDOW * i64::try_from(at).unwrap();
            let all = usize::try_from(users).unwrap() * flags;
            let first = noted(users, flags, second);
            assert!(first > all * 999 / 1_000, "{first} of {all} are noted");
            let again = noted(users, flags, second + WINDOW - 1);
            assert!(again < all / 100, "{again} of {all} are noted again");
        }
        assert_eq!(metrics.dropped.get(), 0);
    }
}
