//! The compiled flag.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use ahash::AHashMap;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    bucket::{BUCKETS, Hash, Share, share},
    condition::Condition,
    membership::MembershipTest,
    segment::SegmentIndex,
    split::Draw,
    unit::Unit,
};
use crate::model::{ArmCell, CodeClass, Context, Detail, Effect, Fault, Latency, Reason};

/// The position of a flag in its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlagIndex(pub(crate) u32);

/// The position of an outcome in its flag.
pub(crate) type OutcomeIndex = u16;

/// A flag, compiled: everything that evaluation needs, nothing that can fail.
#[derive(Debug)]
pub struct CompiledFlag {
    pub(crate) key: Arc<str>,
    pub(crate) outcomes: Box<[Outcome]>,
    /// Tallies of variations that earlier versions had: their series live as long as the flag.
    pub(crate) retired: Vec<(Box<str>, Arc<VariationTally>)>,
    pub(crate) switch: Switch,
    pub(crate) default: OutcomeIndex,
    pub(crate) off: OutcomeIndex,
    pub(crate) parent: Parent,
    pub(crate) prerequisites: Box<[Prerequisite]>,
    pub(crate) targets: AHashMap<Box<str>, OutcomeIndex>,
    pub(crate) rules: Box<[Rule]>,
    /// The segments that the rules name, each once.
    pub(crate) segments: Box<[SegmentIndex]>,
    pub(crate) rollout: Option<Rollout>,
}

impl CompiledFlag {
    /// The flag's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The flag's key, to keep without copying it.
    #[must_use]
    pub fn shared_key(&self) -> &Arc<str> {
        &self.key
    }

    /// The counts of each variation that the flag has or once had.
    pub fn tallies(&self) -> impl Iterator<Item = (&str, &VariationTally)> {
        // Two outcomes of one variation share their counts.
        let first = |position: usize, name: &str| {
            self.named_tallies().position(|(known, _)| &**known == name) == Some(position)
        };
        let named = self.named_tallies().enumerate().filter(move |(position, (name, _))| first(*position, name));
        named.map(|(_, (name, tally))| (&**name, &**tally))
    }

    /// Whether the flag, while it is on, gives its default value to everybody: there are no prerequisites, targets, rules
    /// or rollout.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.prerequisites.is_empty() && self.targets.is_empty() && self.rules.is_empty() && self.rollout.is_none()
    }

    /// The salt of the flag's rollout, if the flag is on and draws by user id with MD5.
    pub(crate) fn rollout_salt(&self) -> Option<&str> {
        let Bucketing { hash, salt, by } = &self.rollout.as_ref()?.bucketing;
        (self.switch == Switch::On && *hash == Hash::Md5 && *by == Unit::User).then_some(&**salt)
    }

    /// The variation that the flag gives when nothing else decides, or when it is killed.
    pub(crate) fn default_variation(&self) -> &str {
        &self.outcomes[usize::from(self.default)].variation
    }

    /// Whether the flag itself is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.switch == Switch::On
    }

    /// The flag's parent.
    pub(crate) fn parent(&self) -> Option<FlagIndex> {
        match self.parent {
            Parent::Flag(parent) => Some(parent),
            Parent::None | Parent::Missing => None,
        }
    }

    /// Whether the flag names a parent that does not exist, and so is off.
    pub(crate) fn lacks_parent(&self) -> bool {
        self.parent == Parent::Missing
    }

    /// Whether the flag is on, asks nothing of anybody, and its rollout gives every user the same value.
    #[must_use]
    pub fn serves_everybody(&self, now: Timestamp) -> bool {
        let asks = !(self.prerequisites.is_empty() && self.targets.is_empty() && self.rules.is_empty());
        let Some(rollout) = self.rollout.as_ref().filter(|_| self.is_on() && !asks) else { return false };
        let first = rollout.stages.iter().find(|stage| stage.is_active(now) && stage.threshold > 0);
        match (first, &rollout.serve) {
            (Some(stage), _) => stage.threshold == BUCKETS && stage.outcome.is_some(),
            (None, Serve::One(_)) => rollout.threshold == BUCKETS,
            (None, Serve::Split(shares)) => {
                rollout.threshold == BUCKETS && shares.iter().any(|share| share.weight == BUCKETS)
            }
            // It may find nothing to draw by.
            (None, Serve::Draw(_)) => false,
        }
    }

    /// Whether a draw may put users into different variations.
    #[must_use]
    pub fn draws(&self, now: Timestamp) -> bool {
        let splits = self.rules.iter().any(|rule| rule.serve.is_split() || rule.threshold < BUCKETS);
        let Some(rollout) = self.rollout.as_ref().filter(|_| self.is_on()) else { return false };
        let is_whole = rollout.stages.is_empty() && !rollout.serve.is_split() && rollout.threshold % BUCKETS == 0;
        splits || !(is_whole || self.serves_everybody(now))
    }

    /// The part of those who reach the rollout that each variation gets, where one draw by user id decides that alone: there
    /// are no stages, and no rule draws. None: it is not known.
    #[must_use]
    pub fn drawn_shares(&self, now: Timestamp) -> Option<Vec<(&str, f64)>> {
        let rollout = self.rollout.as_ref().filter(|_| self.draws(now))?;
        let rules_draw = self.rules.iter().any(|rule| rule.serve.is_split() || rule.threshold < BUCKETS);
        if rules_draw || !rollout.stages.is_empty() || rollout.bucketing.by != Unit::User {
            return None;
        }
        let part = |buckets: u32| f64::from(buckets) / f64::from(BUCKETS);
        let mut shares: Vec<(&str, f64)> = Vec::new();
        let mut give = |outcome: OutcomeIndex, share: f64| {
            let name = &*self.outcomes[usize::from(outcome)].variation;
            match shares.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known += share,
                None => shares.push((name, share)),
            }
        };
        let mut given = 0.0;
        match &rollout.serve {
            Serve::One(outcome) => {
                given = part(rollout.threshold.into());
                give((*outcome)?, given);
            }
            Serve::Split(parts) => {
                for Share { weight, what, .. } in parts {
                    let wide = u32::from(*weight) * u32::from(rollout.threshold) / u32::from(BUCKETS);
                    given += part(wide);
                    give(*what, part(wide));
                }
            }
            Serve::Draw(_) => return None,
        }
        give(self.default, 1.0 - given);
        shares.retain(|(_, share)| *share > 1e-9);
        Some(shares)
    }

    /// Turns the flag off, whatever its document says.
    pub(crate) fn turn_off(&mut self, detail: Detail) {
        self.switch = Switch::Off(Some(detail));
    }

    /// Whether the flag is off because it stands on a cycle.
    pub(crate) fn stands_on_a_cycle(&self) -> bool {
        self.switch == Switch::Off(Some(Detail::Cycle))
    }

    /// The keys of the prerequisites.
    pub(crate) fn prerequisite_keys(&self) -> impl Iterator<Item = &str> {
        self.prerequisites.iter().map(|prerequisite| &*prerequisite.key).filter(|key| !key.is_empty())
    }

    /// The flags that evaluation of this one looks at.
    pub(crate) fn links(&self) -> impl Iterator<Item = FlagIndex> {
        self.parent().into_iter().chain(self.prerequisites.iter().filter_map(|prerequisite| prerequisite.flag))
    }

    /// A fault for each flag that this one names and that does not exist.
    pub(crate) fn missing(&self) -> Vec<Fault> {
        let fault =
            |pointer: String, message: &str| Fault { pointer, message: message.to_owned(), effect: Effect::Inert };
        let parent = (self.parent == Parent::Missing)
            .then(|| fault("/parent".to_owned(), "there is no such flag, so the parent counts as off"));
        let absent = self.prerequisites.iter().enumerate();
        let absent = absent.filter(|(_, prerequisite)| prerequisite.flag.is_none() && !prerequisite.key.is_empty());
        let absent = absent.map(|(position, prerequisite)| {
            fault(
                format!("/prerequisites/{position}"),
                &format!("there is no flag {:?}, so it is unmet", prerequisite.key),
            )
        });
        let unknown = self.rules.iter().flat_map(|rule| {
            let unknown = rule.condition.memberships().into_iter().flat_map(MembershipTest::unknown);
            unknown.map(|segment| fault(format!("/targeting_rules/{}", rule.position), &no_segment(segment)))
        });
        parent.into_iter().chain(absent).chain(unknown).collect()
    }

    /// The segments that this flag names.
    #[must_use]
    pub fn segments(&self) -> &[SegmentIndex] {
        &self.segments
    }

    /// Whether evaluation of this flag looks at segments, those that are yet to come included.
    pub(crate) fn asks_for_segments(&self) -> bool {
        self.rules.iter().any(|rule| !rule.condition.memberships().is_empty())
    }

    /// The tallies of all variations, those of earlier versions included; a name may come twice.
    pub(crate) fn named_tallies(&self) -> impl Iterator<Item = (&Box<str>, &Arc<VariationTally>)> {
        let here = self.outcomes.iter().map(|outcome| (&outcome.variation, &outcome.tally));
        here.chain(self.retired.iter().map(|(name, tally)| (name, tally)))
    }
}

/// What is wrong with the name of a segment that does not exist.
fn no_segment(segment: &str) -> String {
    format!("there is no segment {segment:?}, so nobody is in it")
}

/// One of the values that a flag can give, with the name of its variation.
#[derive(Debug)]
pub struct Outcome {
    /// The value.
    pub value: Value,
    /// The name of the variation: a variant's, or one derived from the value. Used in answers, headers and labels.
    pub variation: Box<str>,
    /// Whether the value meets a plain prerequisite.
    pub(crate) truthy: bool,
    /// How often it was given.
    pub(crate) tally: Arc<VariationTally>,
}

/// Requests by what became of them.
type RequestCounts = [AtomicU64; CodeClass::ALL.len()];

/// How often a variation was given, by reason. Shared between the versions of a flag, so counts stay exact.
///
/// Invariant: one addition counts an evaluation and what became of its request, so that both are always of the same
/// requests.
#[derive(Debug, Default)]
pub struct VariationTally {
    /// What applications asked for.
    asked: [AtomicU64; Reason::ALL.len()],
    /// Requests that are over, by what became of them; made with the first, as most flags of many are no route's.
    requests: OnceLock<Box<[RequestCounts; Reason::ALL.len()]>>,
    /// What became of the requests for which it was given, if it decides over any.
    arm: OnceLock<Arc<ArmCell>>,
}

impl VariationTally {
    /// Counts one evaluation that an application asked for.
    pub fn count(&self, reason: Reason) {
        self.asked[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the evaluation for a request to the gateway, and what became of that.
    pub fn count_request(&self, reason: Reason, class: CodeClass) {
        self.requests.get_or_init(Box::default)[reason.index()][class.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// How many evaluations were counted with this reason.
    #[must_use]
    pub fn get(&self, reason: Reason) -> u64 {
        let requests = self.requests.get().into_iter().flat_map(|counts| &counts[reason.index()]);
        let requests: u64 = requests.map(|count| count.load(Ordering::Relaxed)).sum();
        self.asked[reason.index()].load(Ordering::Relaxed) + requests
    }

    /// How many requests it was given for that ended so.
    #[must_use]
    pub fn requests(&self, class: CodeClass) -> u64 {
        let requests = self.requests.get().into_iter().flat_map(|counts| counts.iter());
        requests.map(|counts| counts[class.index()].load(Ordering::Relaxed)).sum()
    }

    /// How long its requests took, as far as that says anything about it (see [`crate::model::ArmCounts`]), since it is
    /// there.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.arm.get().map(|arm| arm.latency()).unwrap_or_default()
    }

    /// Where its requests are counted; `make` is asked once in its life.
    pub(crate) fn arm(&self, make: impl FnOnce() -> Arc<ArmCell>) -> &Arc<ArmCell> {
        self.arm.get_or_init(make)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    On,
    Off(Option<Detail>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    None,
    /// A parent is named that does not exist: whether it is on cannot be known, so it counts as off.
    Missing,
    Flag(FlagIndex),
}

#[derive(Debug)]
pub(crate) struct Prerequisite {
    pub(crate) key: Box<str>,
    /// `None`: there is no such flag, or the entry is inert; it is unmet.
    pub(crate) flag: Option<FlagIndex>,
    pub(crate) wants: Wants,
    /// Whether it is met when it would otherwise not be. A flag that does not exist meets nothing.
    pub(crate) negated: bool,
}

#[derive(Debug)]
pub(crate) enum Wants {
    Truthy,
    Variations(Box<[Box<str>]>),
    Value(Value),
}

#[derive(Debug)]
pub(crate) struct Rule {
    /// Its position in the document.
    pub(crate) position: u16,
    pub(crate) condition: Condition,
    /// The buckets below it take part.
    pub(crate) threshold: u16,
    pub(crate) bucketing: Bucketing,
    pub(crate) serve: Serve,
}

#[derive(Debug)]
pub(crate) enum Serve {
    /// `None`: the value is null, which counts as none.
    One(Option<OutcomeIndex>),
    Split(Box<[Share<OutcomeIndex>]>),
    /// A split that draws by itself.
    Draw(Box<Draw>),
}

impl Serve {
    /// Whether a bucket decides what is served, or who is.
    pub(crate) const fn is_split(&self) -> bool {
        matches!(self, Self::Split(_) | Self::Draw(_))
    }
}

#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) bucketing: Bucketing,
    pub(crate) stages: Box<[Stage]>,
    pub(crate) threshold: u16,
    pub(crate) serve: Serve,
}

#[derive(Debug)]
pub(crate) struct Stage {
    /// Its position in the document.
    pub(crate) position: u16,
    pub(crate) threshold: u16,
    pub(crate) outcome: Option<OutcomeIndex>,
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
}

impl Stage {
    pub(crate) fn is_active(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= now) && self.end.is_none_or(|end| now <= end)
    }
}

/// How a user's bucket is found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bucketing {
    pub(crate) hash: Hash,
    pub(crate) salt: Arc<str>,
    pub(crate) by: Unit,
}

impl Bucketing {
    /// The user's bucket, and the one for variants if the hash draws it apart. `None`: the attribute is absent.
    pub(crate) fn bucket(&self, context: &Context<'_>) -> Option<u16> {
        self.by.with(context, |unit| self.hash.bucket(&self.salt, unit))
    }

    /// The share of a split that the user falls into.
    pub(crate) fn share(
        &self,
        shares: &[Share<OutcomeIndex>],
        threshold: u16,
        bucket: u16,
        context: &Context<'_>,
    ) -> Option<OutcomeIndex> {
        match self.by.with(context, |unit| self.hash.variant_bucket(&self.salt, unit))? {
            Some(apart) if bucket < threshold => share(shares, BUCKETS, apart),
            Some(_) => None,
            None => share(shares, threshold, bucket),
        }
    }
}
