//! Kill switches that act by themselves: each second this gateway's counts are laid beside the switches that guard them, and
//! what is to become of a switch is proposed to the store.
//!
//! Any gateway may drive any switch, triggering and recovery alike, and compare-and-set makes one of them win: a kill, and
//! the way back from it, must not wait for whoever holds the conductor's lease. The steps of a recovery are counted by the
//! store's time, so that it does not matter which gateway takes the next.

mod proposal;
mod record;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};

use crate::{
    clock,
    delivery::kill::{Move, Watch, plan},
    eval::KillSwitch,
    model::{Arm, ArmCounts, KillState},
    outbound::Notifier,
    snapshot::{Snapshot, SnapshotCell},
    store::{CounterStore, Store},
    telemetry::Second,
};

pub use record::measure;

/// How long the store's time is waited for.
const TIME_WITHIN: Duration = Duration::from_millis(500);

/// How long a proposal may take.
const PROPOSED_WITHIN: Duration = Duration::from_secs(2);

/// What the switches are watched with.
#[derive(Clone)]
pub struct Tripping {
    /// Where switches are.
    pub store: Arc<dyn Store>,
    /// Whose time counts.
    pub counters: Arc<dyn CounterStore>,
    /// The switches, and the flags that they guard.
    pub cell: SnapshotCell,
    /// Where this gateway is.
    pub region: Option<String>,
    /// What people call this gateway.
    pub name: String,
    /// Who is told.
    pub notifier: Notifier,
}

impl Tripping {
    /// Watches what this gateway counts, until that ends or `stop` is ready.
    pub async fn run(self, mut seconds: Receiver<Second>, stop: impl Future<Output = ()> + Send) {
        let began = clock::monotonic();
        let watching = async {
            let mut watches = BTreeMap::new();
            loop {
                match seconds.recv().await {
                    Ok(second) => {
                        let at = clock::monotonic().duration_since(began);
                        self.look(&second, at, &mut watches).await;
                    }
                    Err(RecvError::Lagged(missed)) => log::warn!("kill switches: {missed} seconds were not looked at"),
                    Err(RecvError::Closed) => return,
                }
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop => {}
        }
    }

    /// Looks at one second.
    async fn look(&self, second: &[(Arm, ArmCounts)], at: Duration, watches: &mut BTreeMap<Arc<str>, Watch>) {
        let snapshot = self.cell.load();
        let guarding = |switch: &&Arc<KillSwitch>| self.is_watched(switch);
        watches.retain(|id, _| snapshot.checked_kill_switches().filter(guarding).any(|switch| switch.id == *id));
        let mut now = None;
        for switch in snapshot.checked_kill_switches().filter(guarding) {
            if switch.status.is_active() && now.is_none() {
                now = self.time().await;
            }
            let counts = counted(&snapshot, switch, second);
            let watch = watches.entry(Arc::clone(&switch.id)).or_insert_with(|| Watch::new(switch, at));
            let Some(moved) = watch.step(switch, &counts, at, now) else { continue };
            let now = match now {
                Some(now) => now,
                // A kill does not wait for a clock.
                None => self.time().await.unwrap_or_else(clock::now),
            };
            match timeout(PROPOSED_WITHIN, self.propose(switch, &moved, now)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => watch.reset(switch, at),
                Ok(Err(error)) => {
                    log::warn!("kill switch {:?}: {moved:?} could not be stored: {error}", &*switch.id);
                    watch.reset(switch, at);
                }
                Err(_) => {
                    log::warn!("kill switch {:?}: {moved:?} could not be stored in time", &*switch.id);
                    watch.reset(switch, at);
                }
            }
        }
    }

    /// Whether a switch does anything by itself, here.
    fn is_watched(&self, switch: &KillSwitch) -> bool {
        let recovers = switch.status.state == KillState::Recovering || plan(switch).is_automatic;
        switch.is_here(self.region.as_deref()) && (switch.breaking.is_some() || recovers)
    }

    async fn time(&self) -> Option<Timestamp> {
        timeout(TIME_WITHIN, self.counters.now()).await.ok()?.ok()
    }

    /// What became of a proposal is the same at every gateway: whether it was written is told.
    async fn propose(&self, switch: &KillSwitch, moved: &Move, now: Timestamp) -> Result<bool, proposal::Failure> {
        let written = self.write(switch, moved, now).await?;
        if let Some(document) = &written {
            log::warn!("kill switch {:?}: {}", &*switch.id, proposal::told(document));
            self.notifier.tell_of_kill_switch(document);
        }
        Ok(written.is_some())
    }
}

/// The requests of one second that a switch guards.
fn counted(snapshot: &Snapshot, switch: &KillSwitch, second: &[(Arm, ArmCounts)]) -> ArmCounts {
    let mut counted = ArmCounts::default();
    if switch.breaking.is_some() {
        second.iter().filter(|(arm, _)| snapshot.is_guarded(switch, arm)).for_each(|(_, counts)| counted.merge(counts));
    }
    counted
}
