//! The metrics of mirrored requests.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::metrics::{register, remove};

/// From half a millisecond to a minute.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mirrored {
    /// Its answer was like the one that the client got.
    Same,
    /// The answer's status was of another class.
    StatusDiffers,
    /// The status was of the same class, but the body was another one.
    BodyDiffers,
    /// It got no answer in time.
    Failed,
    /// It was not made, as too many were on their way or its body was too large; or there was nothing to compare its
    /// answer with, as the client had gone.
    Dropped,
}

impl Mirrored {
    /// Every result, in the order of its number.
    pub const ALL: [Self; 5] = [Self::Same, Self::StatusDiffers, Self::BodyDiffers, Self::Failed, Self::Dropped];

    /// The value of the label `result`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::StatusDiffers => "status_differs",
            Self::BodyDiffers => "body_differs",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The metrics of all mirrors, registered.
#[derive(Clone, Debug)]
pub(super) struct Mirrors {
    requests: IntCounterVec,
    duration: HistogramVec,
}

/// The handles of one route's mirror.
#[derive(Clone, Debug)]
pub struct MirrorMetrics {
    requests: [IntCounter; Mirrored::ALL.len()],
    duration: Histogram,
}

impl Mirrors {
    pub(super) fn register(registry: &Registry) -> Self {
        let requests = Opts::new("flaggate_mirror_requests_total", "Copies of requests by what became of them.");
        let duration =
            HistogramOpts::new("flaggate_mirror_duration_seconds", "Time from sending a copy to its answer.");
        let duration = HistogramVec::new(duration.buckets(SECONDS.to_vec()), &["route", "upstream"]);
        Self {
            requests: register(registry, IntCounterVec::new(requests, &["route", "upstream", "result"])),
            duration: register(registry, duration),
        }
    }

    pub(super) fn forget(&self, route: &str, upstream: &str) {
        for result in Mirrored::ALL {
            remove(&self.requests, &[route, upstream, result.as_str()]);
        }
        remove(&self.duration, &[route, upstream]);
    }

    pub(super) fn handles(&self, route: &str, upstream: &str) -> MirrorMetrics {
        let result = |result: Mirrored| self.requests.with_label_values(&[route, upstream, result.as_str()]);
        MirrorMetrics {
            requests: Mirrored::ALL.map(result),
            duration: self.duration.with_label_values(&[route, upstream]),
        }
    }
}

impl MirrorMetrics {
    /// Counts a copy.
    pub fn count(&self, result: Mirrored) {
        self.requests[result as usize].inc();
    }

    /// Records how long a copy took to be answered.
    pub fn answered(&self, seconds: f64) {
        self.duration.observe(seconds);
    }
}
