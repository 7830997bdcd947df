//! How long the sync waits for what.

use std::time::Duration;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The revision is compared at least this often; each time after 80 % to 100 % of it.
    pub compare_every: Duration,
    /// A hint tells that something goes on: the revision is compared this soon after it, in case later hints are lost.
    pub compare_after_hint: Duration,
    /// Hints that come this soon after something was published are followed together when it is over: a storm of writes
    /// then costs a few compiles, while a lone write is followed at once.
    pub pause_after_publish: Duration,
    /// The pause doubles up to this while each one gathers a storm of hints, as what each compile takes from the
    /// requests' threads is then spent less often.
    pub pause_most: Duration,
    /// How long hints may be on their way after the store answered a comparison with a later revision.
    pub hints_within: Duration,
    /// The first wait after the store was lost; each time 50 % to 100 % of it.
    pub retry_first: Duration,
    /// The wait doubles with each failure up to this.
    pub retry_most: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            compare_every: Duration::from_secs(10),
            compare_after_hint: Duration::from_millis(500),
            pause_after_publish: Duration::from_millis(4),
            pause_most: Duration::from_millis(32),
            hints_within: Duration::from_millis(200),
            retry_first: Duration::from_millis(50),
            retry_most: Duration::from_secs(2),
        }
    }
}
