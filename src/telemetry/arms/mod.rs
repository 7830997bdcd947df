//! Counts of requests by the ways that they go, second by second: what a judge compares, and what a breaker watches.

mod route;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::broadcast;

use crate::model::{Arm, ArmCell, ArmCounts};

pub use route::RouteArms;

/// How many seconds a watcher may be behind before it misses some.
const SECONDS_KEPT: usize = 16;

/// What this gateway counted in about one second.
pub type Second = Arc<[(Arm, ArmCounts)]>;

/// Every arm that had a request here. Cheap to clone.
///
/// Invariant: the names of arms come from the configuration and from documents of flags only, never from a request.
#[derive(Clone, Debug)]
pub struct Arms {
    cells: Arc<Mutex<BTreeMap<Arm, Arc<ArmCell>>>>,
    seconds: broadcast::Sender<Second>,
}

impl Arms {
    /// No arms yet.
    #[must_use]
    pub fn new() -> Self {
        Self { cells: Arc::default(), seconds: broadcast::Sender::new(SECONDS_KEPT) }
    }

    /// Where the requests of an arm are counted. It takes a lock: who counts keeps what it is given.
    #[must_use]
    pub fn cell(&self, arm: Arm) -> Arc<ArmCell> {
        Arc::clone(self.cells().entry(arm).or_default())
    }

    /// Takes what was counted since this was last called, each arm once, in order. Arms that nobody can count for any
    /// more are forgotten.
    #[must_use]
    pub fn take(&self) -> Vec<(Arm, ArmCounts)> {
        let all: Vec<(Arm, Arc<ArmCell>)> =
            self.cells().iter().map(|(arm, cell)| (arm.clone(), Arc::clone(cell))).collect();
        let mut taken = Vec::new();
        let mut idle = Vec::new();
        for (arm, cell) in all {
            match cell.take() {
                Some(counts) => taken.push((arm, counts)),
                None => idle.push(arm),
            }
        }
        // Only this map gives cells away, and it is locked: who is the only holder stays so.
        let mut cells = self.cells();
        for arm in idle {
            if cells.get(&arm).is_some_and(|cell| Arc::strong_count(cell) == 1)
                && let Some((arm, cell)) = cells.remove_entry(&arm)
                && let Some(counts) = cell.take()
            {
                taken.push((arm, counts));
            }
        }
        taken
    }

    /// Tells who watches this gateway what was taken.
    pub fn tell(&self, second: &[(Arm, ArmCounts)]) {
        // An error says that nobody watches.
        self.seconds.send(second.into()).ok();
    }

    /// Watches what this gateway counts: once a second, also when there is nothing.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Second> {
        self.seconds.subscribe()
    }

    fn cells(&self) -> MutexGuard<'_, BTreeMap<Arm, Arc<ArmCell>>> {
        self.cells.lock().expect("nothing panics while it holds the cells")
    }
}

impl Default for Arms {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(variation: &str) -> Arm {
        Arm::Variation { flag: "f".into(), variation: variation.into() }
    }

    #[test]
    fn an_arm_that_nobody_counts_for_is_forgotten() {
        let arms = Arms::new();
        let kept = arms.cell(arm("kept"));
        let gone = arms.cell(arm("gone"));
        gone.count(1, false, None);
        kept.count(1, true, None);
        drop(gone);
        let taken = arms.take();
        assert_eq!(
            taken.iter().map(|(arm, counts)| (arm.clone(), counts.errors)).collect::<Vec<_>>(),
            [(arm("gone"), 0), (arm("kept"), 1)]
        );
        assert_eq!(arms.take(), []);
        assert_eq!(arms.cells().keys().cloned().collect::<Vec<_>>(), [arm("kept")]);
        kept.count(1, false, None);
        assert_eq!(arms.take().len(), 1);
    }

    #[test]
    fn one_arm_has_one_cell() {
        let arms = Arms::new();
        let same = arms.clone();
        assert!(Arc::ptr_eq(&arms.cell(arm("a")), &same.cell(arm("a"))));
    }

    #[tokio::test]
    async fn who_watches_is_told() {
        let arms = Arms::new();
        arms.tell(&[]);
        let mut watching = arms.watch();
        arms.cell(arm("a")).count(1, false, None);
        arms.tell(&arms.take());
        assert_eq!(watching.recv().await.unwrap()[0].0, arm("a"));
    }
}
