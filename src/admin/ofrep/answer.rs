//! Evaluations in the protocol's words: `{key, value, reason, variant, metadata}`.

use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::failure::{ErrorCode, Failure};
use crate::{
    eval::{CompiledFlag, Evaluation, FlagIndex, Flags, hangs_on_user_id},
    model::{Context, Detail, Reason},
    snapshot::Snapshot,
};

/// One flag of many: its value, or why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = OfrepFlag)]
pub(super) enum Item<'s> {
    Success(Success<'s>),
    Failure(Failure),
}

/// One evaluation that gave a value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OfrepSuccess)]
pub(super) struct Success<'s> {
    key: &'s str,
    /// Absent if the flag gives null: the client then takes the default of its own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    value: Option<Given<'s>>,
    reason: ResolutionReason,
    variant: &'s str,
    metadata: Metadata<'s>,
}

/// What decided, in OpenFeature's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = OfrepReason)]
pub(super) enum ResolutionReason {
    /// Everybody gets this value.
    Static,
    /// A target or a rule matched.
    TargetingMatch,
    /// The user's bucket decided.
    Split,
    /// Nothing else decided.
    Default,
    /// The flag is killed or off, or one above it is.
    Disabled,
}

/// What else there is to say of an evaluation; never null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OfrepMetadata)]
pub(super) struct Metadata<'s> {
    /// flaggate's own reason.
    flaggate_reason: &'s str,
    /// What qualifies it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    flaggate_detail: Option<&'static str>,
}

/// A flag's value, with every number as a floating-point one: clients in typed languages want one type for one flag.
#[derive(Debug)]
struct Given<'s>(&'s Value);

impl Serialize for Given<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_number().and_then(serde_json::Number::as_f64) {
            Some(number) => serializer.serialize_f64(number),
            None => self.0.serialize(serializer),
        }
    }
}

/// Evaluates one flag, and gives what is told of it and what it gave; `None` if it is not there.
pub(super) fn single<'s>(
    snapshot: &'s Snapshot,
    flag: FlagIndex,
    context: Context<'_>,
) -> Option<(Result<Success<'s>, Failure>, Evaluation<'s>)> {
    let evaluation = snapshot.evaluator(context).evaluate(flag)?;
    Some((told(snapshot, flag, evaluation, context)?, evaluation))
}

/// Flags in their order: what is told of each, and what those that have a value gave.
pub(super) type Answers<'s> = (Vec<Item<'s>>, Vec<(FlagIndex, Evaluation<'s>)>);

/// Evaluates flags.
pub(super) fn all<'s>(snapshot: &'s Snapshot, flags: &[FlagIndex], context: Context<'_>) -> Answers<'s> {
    let (mut answers, mut given) = (Vec::with_capacity(flags.len()), Vec::with_capacity(flags.len()));
    snapshot.evaluator(context).evaluate_all(flags, |flag, evaluation| {
        let Some(evaluation) = evaluation else { return };
        match told(snapshot, flag, evaluation, context) {
            Some(Ok(success)) => {
                given.push((flag, evaluation));
                answers.push(Item::Success(success));
            }
            Some(Err(failure)) => answers.push(Item::Failure(failure)),
            None => {}
        }
    });
    (answers, given)
}

fn told<'s>(
    snapshot: &'s Snapshot,
    flag: FlagIndex,
    evaluation: Evaluation<'s>,
    context: Context<'_>,
) -> Option<Result<Success<'s>, Failure>> {
    let compiled = snapshot.get(flag)?;
    let key = compiled.key();
    if evaluation.detail == Some(Detail::Quarantined) {
        let details = "the flag's document is damaged, and no earlier version is known";
        return Some(Err(Failure::bad(ErrorCode::ParseError, details).of(key)));
    }
    // Who has no id is killed with all others.
    let is_killed = evaluation.reason == Reason::Killed;
    if !is_killed && context.user_id.is_empty() && hangs_on_user_id(snapshot, flag, context) {
        let details = "the flag tells users apart by their id, and the context has no targetingKey";
        return Some(Err(Failure::bad(ErrorCode::TargetingKeyMissing, details).of(key)));
    }
    Some(Ok(Success {
        key,
        value: Some(evaluation.value()).filter(|value| !value.is_null()).map(Given),
        reason: reason(&evaluation, compiled),
        variant: evaluation.variation(),
        metadata: Metadata {
            flaggate_reason: evaluation.reason.as_str(),
            flaggate_detail: evaluation.detail.map(Detail::as_str),
        },
    }))
}

fn reason(evaluation: &Evaluation<'_>, flag: &CompiledFlag) -> ResolutionReason {
    match evaluation.reason {
        Reason::Killed | Reason::FlagDisabled | Reason::ParentDisabled => ResolutionReason::Disabled,
        Reason::TargetingMatch => ResolutionReason::TargetingMatch,
        Reason::Rollout => ResolutionReason::Split,
        Reason::Default if flag.is_static() => ResolutionReason::Static,
        Reason::Default | Reason::PrerequisitesNotMet => ResolutionReason::Default,
    }
}

impl Success<'_> {
    /// The same, told that the user's profile could not be had.
    pub(super) fn qualified(mut self, detail: Option<&'static str>) -> Self {
        self.metadata.flaggate_detail = detail.or(self.metadata.flaggate_detail);
        self
    }
}
