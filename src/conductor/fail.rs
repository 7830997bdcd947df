//! Points at which a conductor under test dies or falls asleep, as if that had come from outside. A release build has none.
//!
//! `FLAGGATE_FAIL_AT` lists them, each as `point:every:signal`: with `after_status:3:KILL` the process kills itself each third
//! time that it has stored a status. `tests/delivery/takeover.rs` uses it.

/// Between two things that a conductor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// It has become the leader, and did nothing yet.
    AfterLease,
    /// It decided, and stored nothing yet.
    BeforeStatus,
    /// The status is stored, and nobody was told.
    AfterStatus,
    /// People were told, and that is not stored yet.
    AfterTelling,
    /// A flag is about to be set.
    BeforeFlag,
    /// One flag is set, and another is still to be.
    BetweenFlags,
    /// All flags are set.
    AfterFlags,
    /// The lease is about to be given back.
    BeforeGiveBack,
}

/// Nothing happens here.
#[cfg(not(debug_assertions))]
pub(super) const fn reach(_: Point) {}

#[cfg(debug_assertions)]
pub(super) use armed::reach;

#[cfg(debug_assertions)]
mod armed {
    use std::{
        env,
        process::{self, Command},
        sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        thread,
        time::Duration,
    };

    use super::Point;

    /// A point at which something happens.
    struct Armed {
        point: String,
        every: u64,
        signal: String,
        passed: AtomicU64,
    }

    static ARMED: LazyLock<Vec<Armed>> = LazyLock::new(|| {
        let listed = env::var("FLAGGATE_FAIL_AT").unwrap_or_default();
        listed.split(',').filter(|entry| !entry.is_empty()).filter_map(read).collect()
    });

    fn read(entry: &str) -> Option<Armed> {
        let mut parts = entry.split(':');
        let (point, every, signal) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        Some(Armed { point: point.to_owned(), every, signal: signal.to_owned(), passed: AtomicU64::new(0) })
    }

    /// Sends this process the signal that is listed for this point, if its turn has come.
    pub(in crate::conductor) fn reach(point: Point) {
        for armed in ARMED.iter().filter(|armed| armed.point == name(point)) {
            let passed = armed.passed.fetch_add(1, Relaxed) + 1;
            if armed.every > 0 && passed.is_multiple_of(armed.every) {
                let signal = [format!("-{}", armed.signal), process::id().to_string()];
                if let Err(error) = Command::new("kill").args(signal).status() {
                    log::error!("conductor: the fail point {point:?} has no effect: {error}");
                }
                // The signal is on its way, and nothing is to be done before it is there.
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    const fn name(point: Point) -> &'static str {
        match point {
            Point::AfterLease => "after_lease",
            Point::BeforeStatus => "before_status",
            Point::AfterStatus => "after_status",
            Point::AfterTelling => "after_telling",
            Point::BeforeFlag => "before_flag",
            Point::BetweenFlags => "between_flags",
            Point::AfterFlags => "after_flags",
            Point::BeforeGiveBack => "before_give_back",
        }
    }
}
