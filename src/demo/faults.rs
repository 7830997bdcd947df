//! What is wrong with the demo's upstreams.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What is wrong with each upstream, changed while they run. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<BTreeMap<String, Fault>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    /// The share of requests that are answered with 500, from 0 to 1.
    errors: f64,
    delay: Duration,
    /// Parts of an error that requests have gathered.
    gathered: f64,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) fails: bool,
    pub(super) delay: Duration,
}

impl Faults {
    /// From now on this share of an upstream's requests fails, spread evenly, and all of them take so much longer.
    pub fn set(&self, upstream: &str, errors: f64, delay: Duration) {
        self.faults().insert(upstream.to_owned(), Fault { errors, delay, gathered: 0.0 });
    }

    pub(super) fn next(&self, upstream: &str) -> Fate {
        let mut faults = self.faults();
        let Some(fault) = faults.get_mut(upstream) else { return Fate::default() };
        fault.gathered += fault.errors;
        let fails = fault.gathered >= 1.0;
        if fails {
            fault.gathered -= 1.0;
        }
        Fate { fails, delay: fault.delay }
    }

    fn faults(&self) -> MutexGuard<'_, BTreeMap<String, Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_spread() {
        let faults = Faults::default();
        faults.set("b", 0.25, Duration::from_millis(3));
        assert_eq!(faults.next("a"), Fate::default());
        let fates: Vec<Fate> = (0..8).map(|_| faults.next("b")).collect();
        let failing: Vec<usize> = (0..8).filter(|at| fates[*at].fails).collect();
        assert_eq!((failing, fates[0].delay), (vec![3, 7], Duration::from_millis(3)));
    }
}
