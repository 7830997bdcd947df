//! The breaker of a kill switch: opens when the requests of one second after the other go wrong, and feels its way back.
//! Pure: it is told each second what was counted, by this gateway, of the requests that the switch watches.
//!
//! ```text
//! closed ──too many errors, slow requests or failures in a row──▶ open
//! open ──the time-out is over──▶ half open
//! half open ──enough successes──▶ closed        half open ──too many bad ones──▶ open
//! ```

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

/// How far back a second is counted with the newer ones, while those have too few requests.
const MEMORY: Duration = Duration::from_secs(10);

/// When so many requests are slow, the latency is above the threshold: it is the median that counts.
const SLOW_SHARE: f64 = 0.5;

/// When it opens and how it closes: the fields of a kill switch of the same names.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Opens when this percentage of the requests has failed; none: errors are not asked for.
    pub error_threshold: Option<f64>,
    /// Whether slow requests open it, when they are half of all. What is slow, longer than `latency_threshold` seconds, is up
    /// to who counts.
    pub watches_latency: bool,
    /// A percentage counts of so many requests on only, in up to ten seconds.
    pub volume_threshold: u64,
    /// Opens after so many failures with no success between; none: they are not counted.
    pub failure_count_threshold: Option<u64>,
    /// So many good requests while half open close it.
    pub success_count_threshold: u64,
    /// How long it stays open.
    pub timeout: Duration,
    /// So many requests a second are let through while half open, about.
    pub half_open_requests: u64,
}

/// Whether requests go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All do.
    Closed,
    /// None does.
    Open,
    /// Some do, to see what becomes of them.
    HalfOpen,
}

/// Why it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// What was too much.
    pub reason: TripReason,
    /// The requests that were looked at.
    pub requests: u64,
    /// Of these, the bad ones.
    pub bad: u64,
}

/// What was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TripReason {
    /// Errors, of all requests.
    ErrorRate,
    /// Slow requests, of all.
    Latency,
    /// Failures with no success between.
    FailuresInARow,
    /// Bad requests while half open.
    Relapse,
}

/// One second, or what was counted since the last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    at: Duration,
    requests: u64,
    errors: u64,
    slow: u64,
}

/// A breaker.
///
/// Invariant: it is open for `timeout` at least, and closes after `success_count_threshold` good requests only.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    settings: Settings,
    state: State,
    /// When the state began.
    since: Duration,
    /// The newest is the last.
    windows: VecDeque<Window>,
    failures_in_a_row: u64,
    /// What was let through while half open.
    tried: Window,
    /// Requests in the second before it opened, which says what part may be let through.
    usual: u64,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Closed,
            since: Duration::ZERO,
            windows: VecDeque::new(),
            failures_in_a_row: 0,
            tried: Window::default(),
            usual: 0,
        }
    }

    /// Whether requests go through.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The share of the users, from 0 to 1, who are let through. They are to be chosen by bucket, so that they are the same each
    /// time.
    #[must_use]
    pub fn share(&self) -> f64 {
        match self.state {
            State::Closed => 1.0,
            State::Open => 0.0,
            State::HalfOpen => (self.settings.half_open_requests as f64 / self.usual.max(1) as f64).min(1.0),
        }
    }

    /// Takes in what was counted since the last step, which was a second ago. `now` never goes back. Of the `requests`, some are
    /// `errors` and some `slow`; one may be both.
    pub fn step(&mut self, now: Duration, requests: u64, errors: u64, slow: u64) -> Option<Trip> {
        let window = Window { at: now, requests, errors: errors.min(requests), slow: slow.min(requests) };
        match self.state {
            State::Closed => self.closed(window),
            State::Open => {
                if now.saturating_sub(self.since) >= self.settings.timeout {
                    self.enter(State::HalfOpen, now);
                }
                None
            }
            State::HalfOpen => self.half_open(window),
        }
    }

    /// Opens it because somebody else says so: a person, or the breaker of another gateway.
    pub fn open(&mut self, now: Duration) {
        self.enter(State::Open, now);
    }

    /// Closes it because somebody else says so.
    pub fn close(&mut self, now: Duration) {
        self.enter(State::Closed, now);
    }

    fn enter(&mut self, state: State, now: Duration) {
        self.state = state;
        self.since = now;
        self.windows.clear();
        self.failures_in_a_row = 0;
        self.tried = Window::default();
    }

    fn closed(&mut self, window: Window) -> Option<Trip> {
        self.windows.push_back(window);
        while self.windows.front().is_some_and(|first| window.at.saturating_sub(first.at) >= MEMORY) {
            self.windows.pop_front();
        }
        self.failures_in_a_row = match (window.requests, window.errors) {
            // The order within a second is not known: a success may have been the last.
            (requests, errors) if errors < requests => 0,
            (_, errors) => self.failures_in_a_row.saturating_add(errors),
        };
        if window.requests > 0 {
            self.usual = window.requests;
        }
        let trip = self.failures().or_else(|| self.too_many())?;
        self.enter(State::Open, window.at);
        Some(trip)
    }

    fn failures(&self) -> Option<Trip> {
        let most = self.settings.failure_count_threshold?;
        let failures = self.failures_in_a_row;
        let trip = Trip { reason: TripReason::FailuresInARow, requests: failures, bad: failures };
        (failures > 0 && failures >= most).then_some(trip)
    }

    /// The newest seconds that have enough requests together decide, so that a burst is not diluted by what was before.
    fn too_many(&self) -> Option<Trip> {
        let mut seen = Window::default();
        for window in self.windows.iter().rev() {
            seen.requests += window.requests;
            seen.errors += window.errors;
            seen.slow += window.slow;
            if seen.requests >= self.settings.volume_threshold.max(1) {
                return self.bad(seen);
            }
        }
        None
    }

    /// Why these requests are bad, if they are.
    fn bad(&self, seen: Window) -> Option<Trip> {
        let reaches = |bad: u64, percent: f64| bad > 0 && bad as f64 * 100.0 >= percent * seen.requests as f64;
        let trip = |reason, bad| Trip { reason, requests: seen.requests, bad };
        if self.settings.error_threshold.is_some_and(|percent| reaches(seen.errors, percent)) {
            return Some(trip(TripReason::ErrorRate, seen.errors));
        }
        let is_slow = self.settings.watches_latency && reaches(seen.slow, 100.0 * SLOW_SHARE);
        is_slow.then(|| trip(TripReason::Latency, seen.slow))
    }

    fn half_open(&mut self, window: Window) -> Option<Trip> {
        self.tried.requests += window.requests;
        self.tried.errors += window.errors;
        self.tried.slow += window.slow;
        let tried = self.tried;
        // Who is told of failures in a row only is told of any.
        let any = || self.settings.error_threshold.is_none() && tried.errors > 0;
        let bad = self.bad(tried).map(|trip| trip.bad).or_else(|| any().then_some(tried.errors));
        if let Some(bad) = bad {
            self.enter(State::Open, window.at);
            return Some(Trip { reason: TripReason::Relapse, requests: tried.requests, bad });
        }
        if tried.requests - tried.errors >= self.settings.success_count_threshold.max(1) {
            self.enter(State::Closed, window.at);
        }
        None
    }
}
