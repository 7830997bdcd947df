//! The only reader of wall-clock and monotonic time: everything else is handed the time that it needs.

use std::time::Instant;

/// The wall-clock time, in UTC.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
#[must_use]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The monotonic time, for durations.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
#[must_use]
pub fn monotonic() -> Instant {
    Instant::now()
}
