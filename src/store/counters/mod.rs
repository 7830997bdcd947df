//! What all gateways counted of arms, second by second, for the last minutes: one sum, whoever counted.

mod encoding;
mod evaluations;
mod flush;
mod memory;
mod naming;
mod running;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreError;
use crate::model::{Arm, ArmCounts};

pub(super) use encoding::{add_to_sketch, decode, decode_sketch, encode};
pub use evaluations::Evaluations;
pub use flush::flush_counts;
pub use memory::MemoryCounters;
pub(super) use memory::seconds;
pub(super) use naming::{arm, name, subject, subject_name};
pub use running::Running;

/// How long counts are kept at least.
pub const COUNTS_KEPT: Duration = Duration::from_secs(15 * 60);

/// What one gateway counted since the batch before.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Names this run of the gateway.
    pub gateway: Arc<str>,
    /// One more than that of the batch before. A batch whose number the store has already seen from this gateway is not
    /// added again, so that one whose answer was lost can be sent once more. `None`: it is added whenever it is sent.
    pub number: Option<u64>,
    /// What was counted, each arm once.
    pub counts: Vec<(Arm, ArmCounts)>,
}

/// What was counted in some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By arm: the seconds in which it had requests or evaluations, in order, each named by its beginning. An arm without
    /// any is absent.
    pub arms: BTreeMap<Arm, Vec<(Timestamp, ArmCounts)>>,
    /// When each gateway last gave its counts, be it that it had none to give. By the store's time.
    pub last_seen: BTreeMap<Arc<str>, Timestamp>,
}

/// Where what gateways counted is added up. All times are the store's own: a gateway's wall clock means nothing here.
///
/// Invariant: what arrives is stamped with the store's second of its arrival, and is added exactly once.
#[async_trait]
pub trait CounterStore: Send + Sync {
    /// Adds what a gateway counted, as if it had been in this second.
    async fn add(&self, gateway: &str, counts: Vec<(Arm, ArmCounts)>) -> Result<(), StoreError> {
        self.deliver(&Batch { gateway: gateway.into(), number: None, counts }).await
    }

    /// Adds a batch, unless it was already. An empty one says that the gateway is there.
    async fn deliver(&self, batch: &Batch) -> Result<(), StoreError>;

    /// What was counted of these arms in the seconds from `from` on and before `to`. A second that is over does not change
    /// any more. Who looks again and again at more and more of them takes a [`Running`] sum.
    async fn counts(&self, arms: &[Arm], from: Timestamp, to: Timestamp) -> Result<Counted, StoreError>;

    /// The same of all arms that had requests.
    async fn all_counts(&self, from: Timestamp, to: Timestamp) -> Result<Counted, StoreError>;

    /// The store's time.
    async fn now(&self) -> Result<Timestamp, StoreError>;
}

impl Counted {
    /// An arm's seconds together.
    #[must_use]
    pub fn total(&self, arm: &Arm) -> ArmCounts {
        let mut total = ArmCounts::default();
        for (_, counts) in self.arms.get(arm).into_iter().flatten() {
            total.merge(counts);
        }
        total
    }
}
