//! The whole path of one evaluation, for people who ask why.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    bucket::{BUCKETS, Hash},
    evaluate::{Evaluator, Flags, Observer, Step},
    flag::{Bucketing, CompiledFlag, FlagIndex, Serve, Wants},
    kill::KillSwitch,
    segment::Scope,
};
use crate::model::Context;

/// Evaluates one flag and tells every step: `{key, value, variation, reason, detail, prerequisites_met, steps: […]}`.
///
/// A step names itself (`kill_switch`, `parent`, `prerequisite`, `target`, `rule`, `bucket`, `stage`, `rollout`); a rule shows each
/// condition with the attribute that was seen and why it does not hold. Buckets and percentages are in percent. The
/// evaluation is not counted. `None` if there is no such flag.
#[must_use]
pub fn explain<F: Flags>(flags: &F, flag: FlagIndex, context: Context<'_>) -> Option<Value> {
    let compiled = flags.get(flag)?;
    let mut steps = Steps(Vec::new());
    let mut evaluator = Evaluator::new(flags, context);
    let evaluation = evaluator.observed(flag, &mut steps)?;
    let steps: Vec<Value> =
        steps.0.into_iter().map(|step| tell(flags, step, compiled, &mut evaluator, &context)).collect();
    Some(json!({
        "key": compiled.key,
        "value": evaluation.value(),
        "variation": evaluation.variation(),
        "reason": evaluation.reason,
        "detail": evaluation.detail,
        "prerequisites_met": evaluation.prerequisites_met(),
        "steps": steps,
    }))
}

struct Steps(Vec<Step>);

impl Observer for Steps {
    fn observe(&mut self, step: impl FnOnce() -> Step) {
        self.0.push(step());
    }
}

fn tell<'s, F: Flags>(
    flags: &F,
    step: Step,
    flag: &CompiledFlag,
    evaluator: &mut Evaluator<'s, '_, F>,
    context: &Context<'_>,
) -> Value {
    match step {
        Step::Kill { switch, killed } => kill(flags, switch, killed, evaluator.scope()),
        Step::Parent { off } => json!({ "step": "parent", "off": off }),
        Step::Prerequisite { position, met } => prerequisite(flag, position, met, evaluator),
        Step::Target => json!({ "step": "target", "user_id": context.user_id, "served": true }),
        Step::Rule { position, truth, bucket, served } => {
            let Some(rule) = flag.rules.iter().find(|rule| rule.position == position) else { return Value::Null };
            let mut told = json!({
                "step": "rule",
                "position": position,
                "result": truth,
                "condition": rule.condition.trace(evaluator.scope()),
                "served": served,
            });
            if let Serve::Draw(draw) = &rule.serve {
                let (part, parts) = draw.part(context);
                told["draw"] = drawn_by(&draw.bucketing);
                told["draw"]["part"] = part.into();
                told["draw"]["parts"] = parts.into();
            }
            if rule.threshold < BUCKETS || matches!(rule.serve, Serve::Split(_)) {
                told["percentage"] = percent(Some(rule.threshold));
                told["bucket"] = bucketing(&rule.bucketing, bucket);
            }
            told
        }
        Step::Bucket(bucket) => match &flag.rollout {
            Some(rollout) => json!({ "step": "bucket", "bucket": bucketing(&rollout.bucketing, bucket) }),
            None => Value::Null,
        },
        Step::Stage { position, active, served } => {
            let stages = flag.rollout.iter().flat_map(|rollout| &rollout.stages);
            let threshold = stages.into_iter().find(|stage| stage.position == position).map(|stage| stage.threshold);
            json!({ "step": "stage", "position": position, "active": active, "percentage": percent(threshold), "served": served })
        }
        Step::Rollout { served } => {
            let rollout = flag.rollout.as_ref();
            json!({
                "step": "rollout",
                "percentage": percent(rollout.map(|rollout| rollout.threshold)),
                "split": rollout.is_some_and(|rollout| rollout.serve.is_split()),
                "served": served,
            })
        }
    }
}

/// One that is active and selects the flag, or an ancestor of it.
fn kill<F: Flags>(flags: &F, switch: u16, killed: bool, scope: &Scope<'_, '_>) -> Value {
    let Some(kill) = flags.kills().and_then(|kills| kills.at(switch)) else { return Value::Null };
    let KillSwitch { id, scope: about, status, segments, .. } = kill.switch();
    let mut told = json!({
        "step": "kill_switch",
        "id": id,
        "scope": about.as_str(),
        "state": status.state,
        "killed": killed,
        "since": status.since,
        "because": status.reason,
    });
    if let Some(segments) = segments {
        told["segments"] = json!(segments);
    }
    if kill.let_through() > 0 {
        let drawn = Bucketing { hash: Hash::Md5, salt: Arc::clone(id), ..Bucketing::default() };
        told["let_through"] = percent(Some(kill.let_through()));
        told["bucket"] = bucketing(&drawn, kill.bucket(scope));
        if scope.context.user_id.is_empty() {
            told["bucket"]["because"] = "who has no id waits for the end of the recovery".into();
        }
    }
    told
}

fn prerequisite<F: Flags>(
    flag: &CompiledFlag,
    position: usize,
    met: bool,
    evaluator: &mut Evaluator<'_, '_, F>,
) -> Value {
    let Some(prerequisite) = flag.prerequisites.get(position) else { return Value::Null };
    let wants = match &prerequisite.wants {
        Wants::Truthy => json!("any value but false, 0, \"\", [], {} and null"),
        Wants::Variations(variations) => json!({ "variations": variations }),
        Wants::Value(value) => json!({ "value": value }),
    };
    let mut told = json!({ "step": "prerequisite", "key": prerequisite.key, "wants": wants, "met": met });
    if prerequisite.negated {
        told["negate"] = true.into();
    }
    match prerequisite.flag.and_then(|flag| evaluator.evaluate(flag)) {
        Some(found) => {
            told["value"] = found.value().clone();
            told["variation"] = found.variation().into();
            told["reason"] = found.reason.as_str().into();
        }
        None => told["because"] = "there is no such flag".into(),
    }
    told
}

fn drawn_by(bucketing: &Bucketing) -> Value {
    let hash = Hash::NAMED.iter().find(|(_, hash)| *hash == bucketing.hash).map(|(name, _)| *name);
    json!({ "of": bucketing.by.to_json(), "salt": bucketing.salt, "hash": hash })
}

fn bucketing(bucketing: &Bucketing, bucket: Option<u16>) -> Value {
    let mut told = drawn_by(bucketing);
    told["value"] = percent(bucket);
    if bucket.is_none() {
        told["because"] = "the attribute is absent".into();
    }
    told
}

/// Basis points in percent.
fn percent(points: Option<u16>) -> Value {
    points.map_or(Value::Null, |points| (f64::from(points) / 100.0).into())
}
