//! How often flags were asked for since somebody last looked.

use ahash::AHashMap;

use crate::{
    model::{Arm, Reason},
    snapshot::SnapshotCell,
};

/// Watches the tallies of all flags: they only grow, and what they grew by is told once.
#[derive(Debug)]
pub struct Evaluations {
    cell: SnapshotCell,
    seen: AHashMap<Box<str>, Vec<(Box<str>, u64)>>,
}

impl Evaluations {
    /// Watches from the beginning.
    #[must_use]
    pub fn new(cell: SnapshotCell) -> Self {
        Self { cell, seen: AHashMap::new() }
    }

    /// How often each variation was given since this was last asked; those that were not given are left out.
    #[must_use]
    pub fn take(&mut self) -> Vec<(Arm, u64)> {
        let snapshot = self.cell.load();
        let mut grown = Vec::new();
        for (flag, variation, tally) in snapshot.tallies() {
            let count: u64 = Reason::ALL.map(|reason| tally.get(reason)).into_iter().sum();
            let before = self.before(flag, variation, count);
            // A flag that was removed and made anew counts from zero.
            let more = count.checked_sub(before).unwrap_or(count);
            if more > 0 {
                grown.push((Arm::Variation { flag: flag.into(), variation: variation.into() }, more));
            }
        }
        if self.seen.len() > snapshot.len() {
            self.seen.retain(|flag, _| snapshot.flag(flag).is_some());
        }
        grown
    }

    /// The count that was told last; this one is next time.
    fn before(&mut self, flag: &str, variation: &str, count: u64) -> u64 {
        let Some(variations) = self.seen.get_mut(flag) else {
            self.seen.insert(flag.into(), vec![(variation.into(), count)]);
            return 0;
        };
        match variations.iter_mut().find(|(name, _)| **name == *variation) {
            Some((_, seen)) => std::mem::replace(seen, count),
            None => {
                variations.push((variation.into(), count));
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Context, DocumentKey, NoAttributes, WorldRevision},
        snapshot::World,
    };

    #[test]
    fn each_evaluation_is_told_once() {
        let (cell, publisher) = SnapshotCell::new();
        let load = |number: u64| {
            let documents = vec![(DocumentKey::flag("f"), r#"{"key":"f","name":"F"}"#.into())];
            World::new(None).load(WorldRevision { epoch: "e".into(), number }, documents)
        };
        publisher.publish(load(1));
        let mut evaluations = Evaluations::new(cell.clone());
        assert_eq!(evaluations.take(), []);
        let ask = |times: u64| {
            let snapshot = cell.load();
            let now = jiff::Timestamp::UNIX_EPOCH;
            let context = Context { user_id: "u", attributes: &NoAttributes, now };
            let evaluation = snapshot.evaluator(context).evaluate(snapshot.flag("f").unwrap()).unwrap();
            (0..times).for_each(|_| evaluation.count());
            Arm::Variation { flag: "f".into(), variation: evaluation.variation().into() }
        };
        let arm = ask(3);
        assert_eq!((evaluations.take(), evaluations.take()), (vec![(arm, 3)], vec![]));
        let arm = ask(2);
        assert_eq!(evaluations.take(), [(arm, 2)]);
        // Another world: the flag is another, and counts from zero.
        publisher.publish(load(2));
        let arm = ask(4);
        assert_eq!(evaluations.take(), [(arm, 4)]);
    }
}
