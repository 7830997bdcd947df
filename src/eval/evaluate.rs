//! The evaluation itself.

use std::sync::Arc;

use smallvec::SmallVec;

use super::flag::{CompiledFlag, FlagIndex, Outcome, OutcomeIndex, Parent, Prerequisite, Rule, Serve, Switch, Wants};
use super::{
    bucket::BUCKETS,
    condition::Truth,
    json,
    kill::Kills,
    lanes::{LANES, md5_buckets},
    segment::{Scope, Segment, SegmentIndex},
};
use crate::model::{ArmCell, CodeClass, Context, Detail, Reason};

/// Where evaluation finds flags.
pub trait Flags {
    /// The flag at a position; `None` if it was removed.
    fn get(&self, flag: FlagIndex) -> Option<&CompiledFlag>;

    /// The segments, by their positions.
    fn segments(&self) -> &[Option<Arc<Segment>>];

    /// The active kill switches; none while nothing is killed.
    fn kills(&self) -> Option<&Kills>;
}

/// The answer to one evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'s> {
    /// The value and variation.
    pub outcome: &'s Outcome,
    /// The step that decided.
    pub reason: Reason,
    /// What qualifies the reason.
    pub detail: Option<Detail>,
    flag: FlagIndex,
    position: OutcomeIndex,
}

/// An evaluation without its borrow; it holds in the snapshot that it was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    flag: FlagIndex,
    outcome: OutcomeIndex,
    reason: Reason,
    detail: Option<Detail>,
}

impl Given {
    /// The flag and its evaluation; `None` where it was not made.
    pub fn resolve<F: Flags>(self, flags: &F) -> Option<(&CompiledFlag, Evaluation<'_>)> {
        let Self { flag, outcome: position, reason, detail } = self;
        let compiled = flags.get(flag)?;
        let outcome = compiled.outcomes.get(usize::from(position))?;
        Some((compiled, Evaluation { outcome, reason, detail, flag, position }))
    }
}

impl<'s> Evaluation<'s> {
    /// This evaluation without its borrow.
    #[must_use]
    pub fn given(&self) -> Given {
        Given { flag: self.flag, outcome: self.position, reason: self.reason, detail: self.detail }
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &'s serde_json::Value {
        &self.outcome.value
    }

    /// The variation's name.
    #[must_use]
    pub fn variation(&self) -> &'s str {
        &self.outcome.variation
    }

    /// Whether the value is anything but `false`, `0`, `""`, `[]`, `{}` and `null`.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        self.outcome.truthy
    }

    /// Whether the flag's prerequisites held (they are not looked at when the flag is off).
    #[must_use]
    pub fn prerequisites_met(&self) -> bool {
        self.reason != Reason::PrerequisitesNotMet
    }

    /// Counts this evaluation, which an application asked for, in the flag's metrics.
    pub fn count(&self) {
        self.outcome.tally.count(self.reason);
    }

    /// Counts this evaluation, and what became of the request that it was made for.
    pub fn count_request(&self, class: CodeClass) {
        self.outcome.tally.count_request(self.reason, class);
    }

    /// Where the requests of this variation are counted; `make` is asked once in the variation's life.
    pub fn arm(&self, make: impl FnOnce() -> Arc<ArmCell>) -> &'s Arc<ArmCell> {
        self.outcome.tally.arm(make)
    }
}

/// Evaluates the flags of one snapshot for one context; a prerequisite is evaluated at most once.
///
/// Invariant: evaluation cannot fail or panic: it gives a value and a reason.
pub struct Evaluator<'s, 'c, F> {
    flags: &'s F,
    kills: Option<&'s Kills>,
    scope: Scope<'s, 'c>,
    memo: SmallVec<[(FlagIndex, Answer); 16]>,
    /// The bucket of a flag's rollout that was worked out beforehand.
    known: Option<(&'s CompiledFlag, u16)>,
}

/// An evaluation without its borrow.
#[derive(Clone, Copy, Debug)]
struct Answer {
    outcome: OutcomeIndex,
    reason: Reason,
    detail: Option<Detail>,
}

/// What happens on the way, for explain. The empty observer costs nothing.
pub(crate) trait Observer {
    fn observe(&mut self, step: impl FnOnce() -> Step);
}

impl Observer for () {
    fn observe(&mut self, _step: impl FnOnce() -> Step) {}
}

/// One step of an evaluation.
#[derive(Debug)]
pub(crate) enum Step {
    /// A switch selects the flag, or, below a parent, one of its ancestors.
    Kill {
        switch: u16,
        killed: bool,
    },
    Parent {
        off: bool,
    },
    Prerequisite {
        position: usize,
        met: bool,
    },
    Target,
    Rule {
        position: u16,
        truth: Truth,
        bucket: Option<u16>,
        served: bool,
    },
    Stage {
        position: u16,
        active: bool,
        served: bool,
    },
    Bucket(Option<u16>),
    Rollout {
        served: bool,
    },
}

impl<'s, 'c, F: Flags> Evaluator<'s, 'c, F> {
    /// Starts evaluating for one context.
    #[must_use]
    pub fn new(flags: &'s F, context: Context<'c>) -> Self {
        let scope = Scope::new(context, flags.segments());
        Self { flags, kills: flags.kills(), scope, memo: SmallVec::new(), known: None }
    }

    /// Whether the user is a member of a segment.
    #[must_use]
    pub fn is_member(&self, segment: SegmentIndex) -> bool {
        self.scope.is_member(segment)
    }

    /// The id of the first active kill switch that names a route or an upstream and applies to the user.
    #[must_use]
    pub fn killer_of(&self, service: &str) -> Option<&'s str> {
        self.kills?.killer_of_service(service, &self.scope).map(|kill| &*kill.switch().id)
    }

    /// Evaluates one flag; `None` if it is not there.
    pub fn evaluate(&mut self, flag: FlagIndex) -> Option<Evaluation<'s>> {
        self.observed(flag, &mut ())
    }

    /// Evaluates flags in their order, `None` for one that is not there. Many together cost less than each alone.
    pub fn evaluate_all(&mut self, flags: &[FlagIndex], mut each: impl FnMut(FlagIndex, Option<Evaluation<'s>>)) {
        for flags in flags.chunks(LANES) {
            let compiled: [Option<&'s CompiledFlag>; LANES] =
                std::array::from_fn(|lane| self.flags.get(*flags.get(lane)?));
            let user_id = self.scope.context.user_id;
            let buckets = md5_buckets(compiled.map(|flag| Some((flag?.rollout_salt()?, user_id))));
            for (lane, flag) in flags.iter().enumerate() {
                self.known = compiled[lane].zip(buckets[lane]);
                each(*flag, self.evaluate(*flag));
            }
        }
        self.known = None;
    }

    /// Whom it evaluates for.
    pub(crate) fn scope(&self) -> &Scope<'s, 'c> {
        &self.scope
    }

    /// Evaluates one flag and reports its steps (not those of its prerequisites).
    pub(crate) fn observed(&mut self, flag: FlagIndex, observer: &mut impl Observer) -> Option<Evaluation<'s>> {
        let compiled = self.flags.get(flag)?;
        let Answer { outcome, reason, detail } = self.answer(flag, compiled, observer);
        let position = outcome;
        Some(Evaluation { outcome: &compiled.outcomes[usize::from(position)], reason, detail, flag, position })
    }

    fn answer(&mut self, index: FlagIndex, flag: &'s CompiledFlag, observer: &mut impl Observer) -> Answer {
        let plain = |outcome, reason| Answer { outcome, reason, detail: None };
        if let Some(kills) = self.kills
            && self.is_killed(kills, index, observer)
        {
            return plain(flag.default, Reason::Killed);
        }
        if let Switch::Off(detail) = flag.switch {
            return Answer { outcome: flag.off, reason: Reason::FlagDisabled, detail };
        }
        if flag.parent != Parent::None {
            let off = self.is_parent_off(flag.parent, observer);
            observer.observe(|| Step::Parent { off });
            if off {
                return plain(flag.off, Reason::ParentDisabled);
            }
        }
        for (position, prerequisite) in flag.prerequisites.iter().enumerate() {
            let met = self.is_met(prerequisite);
            observer.observe(|| Step::Prerequisite { position, met });
            if !met {
                return plain(flag.default, Reason::PrerequisitesNotMet);
            }
        }
        if let Some(outcome) = self.target(flag, observer) {
            return plain(outcome, Reason::TargetingMatch);
        }
        self.rollout(flag, observer)
    }

    fn is_killed(&self, kills: &Kills, flag: FlagIndex, observer: &mut impl Observer) -> bool {
        kills.of_flag(flag).any(|(switch, kill)| {
            let killed = kill.applies(&self.scope);
            observer.observe(|| Step::Kill { switch, killed });
            killed
        })
    }

    fn is_parent_off(&self, mut parent: Parent, observer: &mut impl Observer) -> bool {
        loop {
            match parent {
                Parent::None => return false,
                Parent::Missing => return true,
                Parent::Flag(flag) => match self.flags.get(flag) {
                    Some(compiled) if compiled.switch == Switch::On => {
                        if self.kills.is_some_and(|kills| self.is_killed(kills, flag, observer)) {
                            return true;
                        }
                        parent = compiled.parent;
                    }
                    _ => return true,
                },
            }
        }
    }

    fn is_met(&mut self, prerequisite: &Prerequisite) -> bool {
        let Some((index, flag)) = prerequisite.flag.and_then(|index| Some((index, self.flags.get(index)?))) else {
            return false;
        };
        let answer = match self.memo.iter().find(|(known, _)| *known == index) {
            Some((_, answer)) => *answer,
            None => {
                let answer = self.answer(index, flag, &mut ());
                self.memo.push((index, answer));
                answer
            }
        };
        let outcome = &flag.outcomes[usize::from(answer.outcome)];
        let met = !matches!(answer.reason, Reason::Killed | Reason::FlagDisabled | Reason::ParentDisabled)
            && match &prerequisite.wants {
                Wants::Truthy => outcome.truthy,
                Wants::Variations(variations) => variations.contains(&outcome.variation),
                Wants::Value(value) => json::equal(value, &outcome.value),
            };
        met != prerequisite.negated
    }

    /// Individual targets, then the first rule that matches; a match that gives null is none, and ends the search.
    fn target(&self, flag: &CompiledFlag, observer: &mut impl Observer) -> Option<OutcomeIndex> {
        if let Some(outcome) = flag.targets.get(self.scope.context.user_id) {
            observer.observe(|| Step::Target);
            return Some(*outcome);
        }
        flag.rules.iter().find_map(|rule| self.rule(rule, observer))?
    }

    /// `None`: the rule does not match. `Some(None)`: it matches and gives null.
    fn rule(&self, rule: &Rule, observer: &mut impl Observer) -> Option<Option<OutcomeIndex>> {
        let truth = rule.condition.test(&self.scope);
        let mut bucket = None;
        let mut serve = || {
            match (&rule.serve, rule.threshold) {
                (Serve::One(outcome), BUCKETS) => return Some(*outcome),
                (Serve::Draw(draw), BUCKETS) => return draw.pick(&self.scope.context).map(Some),
                _ => {}
            }
            bucket = rule.bucketing.bucket(&self.scope.context);
            match &rule.serve {
                Serve::One(outcome) => (bucket? < rule.threshold).then_some(*outcome),
                Serve::Split(shares) => {
                    rule.bucketing.share(shares, rule.threshold, bucket?, &self.scope.context).map(Some)
                }
                Serve::Draw(draw) if bucket? < rule.threshold => draw.pick(&self.scope.context).map(Some),
                Serve::Draw(_) => None,
            }
        };
        let served = if truth == Truth::Yes { serve() } else { None };
        observer.observe(|| Step::Rule { position: rule.position, truth, bucket, served: served.is_some() });
        served
    }

    fn rollout(&self, flag: &CompiledFlag, observer: &mut impl Observer) -> Answer {
        let default = |detail| Answer { outcome: flag.default, reason: Reason::Default, detail };
        let Some(rollout) = &flag.rollout else { return default(None) };
        let bucket = match self.known {
            Some((known, bucket)) if std::ptr::eq(known, flag) => Some(bucket),
            Some(_) | None => rollout.bucketing.bucket(&self.scope.context),
        };
        observer.observe(|| Step::Bucket(bucket));
        let Some(bucket) = bucket else { return default(Some(Detail::BucketAttributeAbsent)) };
        let rolled_out = |outcome| Answer { outcome, reason: Reason::Rollout, detail: None };
        for stage in &rollout.stages {
            let active = stage.is_active(self.scope.context.now);
            let served = active && bucket < stage.threshold;
            observer.observe(|| Step::Stage { position: stage.position, active, served });
            if served {
                return stage.outcome.map_or(default(None), rolled_out);
            }
        }
        let served = match &rollout.serve {
            Serve::One(outcome) => outcome.filter(|_| bucket < rollout.threshold),
            Serve::Split(shares) => rollout.bucketing.share(shares, rollout.threshold, bucket, &self.scope.context),
            Serve::Draw(draw) if bucket < rollout.threshold => draw.pick(&self.scope.context),
            Serve::Draw(_) => None,
        };
        observer.observe(|| Step::Rollout { served: served.is_some() });
        served.map_or(default(None), rolled_out)
    }
}
