//! Whether an answer hangs on the bucket that a user id draws.

use super::{
    bucket::BUCKETS,
    condition::Truth,
    evaluate::{Evaluator, Flags, Observer, Step},
    flag::{Bucketing, CompiledFlag, FlagIndex, Serve},
};
use crate::model::Context;

/// Whether another user id might have drawn another answer to this evaluation, by itself or by one of its prerequisites.
///
/// Percentages that nobody or everybody falls into, buckets that an attribute draws and rules that the evaluation did not
/// come to do not count.
#[must_use]
pub fn hangs_on_user_id<F: Flags>(flags: &F, flag: FlagIndex, context: Context<'_>) -> bool {
    let mut evaluator = Evaluator::new(flags, context);
    let (mut ahead, mut known) = (vec![flag], vec![flag]);
    while let Some(flag) = ahead.pop() {
        let Some(compiled) = flags.get(flag) else { continue };
        let mut steps = Steps(Vec::new());
        evaluator.observed(flag, &mut steps);
        for step in steps.0 {
            if draws(&step, compiled) {
                return true;
            }
            if let Step::Prerequisite { position, .. } = step {
                let asked = compiled.prerequisites.get(position).and_then(|prerequisite| prerequisite.flag);
                if let Some(asked) = asked.filter(|asked| !known.contains(asked)) {
                    known.push(asked);
                    ahead.push(asked);
                }
            }
        }
    }
    false
}

struct Steps(Vec<Step>);

impl Observer for Steps {
    fn observe(&mut self, step: impl FnOnce() -> Step) {
        self.0.push(step());
    }
}

fn draws(step: &Step, flag: &CompiledFlag) -> bool {
    let by_user = |bucketing: &Bucketing| bucketing.by.is_user();
    match step {
        Step::Rule { position, truth, .. } => {
            let rule = flag.rules.iter().find(|rule| rule.position == *position);
            rule.is_some_and(|rule| {
                let served = || divides(by_user(&rule.bucketing), rule.threshold, &rule.serve);
                rule.condition.draws_by_user() || *truth == Truth::Yes && served()
            })
        }
        Step::Stage { position, active: true, .. } => flag.rollout.as_ref().is_some_and(|rollout| {
            let stage = rollout.stages.iter().find(|stage| stage.position == *position);
            by_user(&rollout.bucketing) && stage.is_some_and(|stage| is_part(stage.threshold))
        }),
        Step::Rollout { .. } => {
            let rollout = flag.rollout.as_ref();
            rollout.is_some_and(|rollout| divides(by_user(&rollout.bucketing), rollout.threshold, &rollout.serve))
        }
        Step::Stage { active: false, .. }
        | Step::Kill { .. }
        | Step::Parent { .. }
        | Step::Prerequisite { .. }
        | Step::Target
        | Step::Bucket(_) => false,
    }
}

/// Whether users who reach this are told apart by their buckets; `by_user`: who takes part is drawn by the user's id.
fn divides(by_user: bool, threshold: u16, serve: &Serve) -> bool {
    let parted = by_user && is_part(threshold);
    match serve {
        Serve::One(_) => parted,
        Serve::Split(shares) => {
            parted || by_user && threshold == BUCKETS && shares.iter().all(|share| share.weight < BUCKETS)
        }
        Serve::Draw(draw) => parted || threshold > 0 && draw.draws_by_user(),
    }
}

fn is_part(threshold: u16) -> bool {
    (1..BUCKETS).contains(&threshold)
}
