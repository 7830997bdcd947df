//! Who was shown what first, and what they did then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Arm;

/// Of each user so many kinds of actions are kept.
pub(in crate::store) const MOST_METRICS: usize = 16;

/// A user was given a variation by a draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The flag.
    pub flag: Arc<str>,
    /// The variation.
    pub variation: Arc<str>,
    /// The hash of the user's id.
    pub user: u64,
    /// How long ago.
    pub age: Duration,
}

/// A user did something.
#[derive(Clone, Debug, PartialEq)]
pub struct Acted {
    /// The hash of the user's id.
    pub user: u64,
    /// What.
    pub event: Arc<str>,
    /// What it is worth; 0 if nobody said.
    pub value: f64,
    /// How long ago.
    pub age: Duration,
}

/// What one gateway learnt of users since it last told.
#[derive(Clone, Debug)]
pub struct Experience {
    /// Names this run of the gateway.
    pub gateway: Arc<str>,
    /// One more than that of the one before: what was already taken in is not taken in again.
    pub number: u64,
    /// The users of each arm, by the hashes of their ids.
    pub visits: Vec<(Arm, Vec<u64>)>,
    /// Who was given what.
    pub exposures: Vec<Exposure>,
    /// Who did what.
    pub actions: Vec<Acted>,
    /// So many users of a flag are kept at most.
    pub most: usize,
}

/// The users of a flag who are kept: all, or of more than the store keeps those whose hash is low.
///
/// Invariant: who is kept does not depend on the variation, so that shares and rates among those who are kept are those of all;
/// and of each who is kept, everything is known exactly.
///
/// A user whose hash begins with n zero bits is at level n. Users below the experiment's level are not kept; when there are
/// too many, the level rises by one, which forgets about half of them. Gibbons: Distinct sampling for highly accurate answers
/// to distinct values queries and event reports (VLDB 2001).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiment {
    /// One in 2^level is kept.
    pub level: u32,
    /// Those who are kept, in no order.
    pub participants: Vec<Participant>,
}

/// Participants by the hashes of their ids.
pub(in crate::store) type Participants = BTreeMap<String, Participant>;

/// One user.
#[derive(Clone, Debug, PartialEq)]
pub struct Participant {
    /// The variation that the user saw first.
    pub variation: Arc<str>,
    /// When that was.
    pub at: Timestamp,
    /// Whether the user saw another one as well.
    pub crossed: bool,
    /// What the user did since, by kind of action.
    pub done: BTreeMap<Arc<str>, Done>,
}

/// What a user did of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// When for the first time.
    pub at: Timestamp,
    /// How often.
    pub times: u64,
    /// What all of it is worth.
    pub value: f64,
}

/// A participant as stored. Scripts of Redis write the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct Record {
    /// The variation.
    v: Arc<str>,
    /// When it was first seen, in milliseconds since 1970.
    a: i64,
    /// Whether there was another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    x: bool,
    /// By action: when first, how often, and what all is worth.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    m: BTreeMap<Arc<str>, (i64, u64, f64)>,
}

impl Record {
    pub(in crate::store) fn new(variation: Arc<str>, at: i64) -> Self {
        Self { v: variation, a: at, x: false, m: BTreeMap::new() }
    }

    /// The user was given a variation at this time, perhaps not for the first time. What counts is the earliest, in whatever
    /// order they come. Says whether anything is new.
    pub(in crate::store) fn shown(&mut self, variation: &Arc<str>, at: i64) -> bool {
        let before = (self.a, self.x);
        self.x |= *variation != self.v;
        if at < self.a {
            (self.a, self.v) = (at, Arc::clone(variation));
        }
        before != (self.a, self.x)
    }

    /// The user did something. What was done before the first exposure does not count. Says whether anything is new.
    pub(in crate::store) fn did(&mut self, event: &Arc<str>, at: i64, value: f64) -> bool {
        let is_known = self.m.contains_key(event);
        if at < self.a || !(is_known || self.m.len() < MOST_METRICS) {
            return false;
        }
        let (first, times, sum) = self.m.entry(Arc::clone(event)).or_insert((at, 0, 0.0));
        (*first, *times, *sum) = (at.min(*first), *times + 1, *sum + value);
        true
    }

    pub(in crate::store) fn participant(self) -> Participant {
        let time = |millis| Timestamp::from_millisecond(millis).unwrap_or_default();
        let done = self.m.into_iter().map(|(event, (at, times, value))| (event, Done { at: time(at), times, value }));
        Participant { variation: self.v, at: time(self.a), crossed: self.x, done: done.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_exposure_counts_in_whatever_order_they_come() {
        let (on, off): (Arc<str>, Arc<str>) = ("on".into(), "off".into());
        let mut record = Record::new(Arc::clone(&on), 100);
        assert!(!record.shown(&on, 100) && !record.shown(&on, 200));
        assert!(record.shown(&off, 50));
        assert!(!record.shown(&on, 300));
        let participant = record.clone().participant();
        assert_eq!((&*participant.variation, participant.crossed, participant.at.as_millisecond()), ("off", true, 50));
        let buy: Arc<str> = "buy".into();
        assert!(!record.did(&buy, 49, 1.0));
        assert!(record.did(&buy, 60, 1.5) && record.did(&buy, 55, -0.5));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(text, r#"{"v":"off","a":50,"x":true,"m":{"buy":[55,2,1.0]}}"#);
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        for number in 0..40 {
            record.did(&format!("other-{number}").into(), 70, 0.0);
        }
        assert_eq!(record.participant().done.len(), MOST_METRICS);
    }
}
