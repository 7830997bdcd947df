//! What a deployment asks of the flags that it changes.

use std::sync::Arc;

use serde_json::Value;

use super::{Arms, Deployment, Stage, Step};
use crate::model::{Arm, Effect, Fault, FlagDocument, did_you_mean};

/// What a deployment sets, so that a flag's overrides may not.
const GOVERNED: [&str; 5] = ["enabled", "rollout_enabled", "rollout_percentage", "rollout_stages", "default_value"];

pub(super) fn check<'f>(
    deployment: &Deployment,
    find: impl Fn(&str) -> Option<&'f FlagDocument>,
    keys: impl Iterator<Item = &'f str> + Clone,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for stage in &deployment.stages {
        let Some(key) = &stage.flag else { continue };
        let name = if stage.route.is_some() { "route" } else { "flag_key" };
        let why = match find(key) {
            None => Some(format!("there is no flag {key:?}{}", did_you_mean(key, keys.clone()))),
            Some(flag) => unfit(stage, flag),
        };
        faults.extend(why.map(|message| Fault {
            pointer: format!("{}/config/{name}", stage.at),
            message,
            effect: Effect::Quarantined,
        }));
    }
    faults
}

/// Why a flag cannot be set as a stage asks.
fn unfit(stage: &Stage, flag: &FlagDocument) -> Option<String> {
    let (key, fields) = (flag.key(), flag.fields());
    let overrides = fields.get("environments").and_then(Value::as_object).into_iter().flatten();
    for (environment, partial) in overrides {
        if let Some(field) = GOVERNED.iter().find(|field| partial.get(**field).is_some()) {
            return Some(format!(
                "the flag {key:?} sets {field} in the environment {environment:?}, where the stage would change nothing"
            ));
        }
    }
    if stage.strategy == "blue_green" {
        let missing =
            ["blue", "green"].into_iter().find(|side| fields.get("variants").and_then(|all| all.get(*side)).is_none());
        return missing.map(|side| format!("the flag {key:?} has no variant {side:?}"));
    }
    let sets = stage.steps.iter().any(|step| matches!(step, Step::Set(_)));
    if sets && fields.get("split").is_some_and(|split| !split.is_null()) {
        return Some(format!("the flag {key:?} has a split, which leaves no share of users to set"));
    }
    let has_variants = fields.get("variants").and_then(Value::as_object).is_some_and(|all| !all.is_empty());
    let kind = fields.get("flag_type").and_then(Value::as_str).unwrap_or("boolean");
    if kind != "boolean" && !has_variants {
        return Some(format!("the flag {key:?} is a {kind} without variants, so there is nothing to roll out"));
    }
    None
}

/// The requests for which a flag gives what is rolled out, and those for which it gives its default.
pub(super) fn arms(key: &Arc<str>, flag: &FlagDocument) -> Arms {
    let variants = flag.fields().get("variants").and_then(Value::as_object);
    let new = variants.and_then(|variants| variants.keys().next()).map_or("true", String::as_str);
    let default = flag.fields().get("default_value").unwrap_or(&Value::Bool(false));
    let named = variants.into_iter().flatten().find(|(_, value)| *value == default).map(|(name, _)| name.clone());
    let old = named.unwrap_or_else(|| default.as_str().map_or_else(|| default.to_string(), str::to_owned));
    let arm = |variation: &str| vec![Arm::Variation { flag: key.clone(), variation: variation.into() }];
    Arms { new: arm(new), old: arm(&old) }
}
