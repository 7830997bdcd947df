//! What flags have to be.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::{Status, status::StageState};
use crate::{
    delivery::deployment::{Deployment, Setting, Side, Stage},
    model::FlagDocument,
};

/// What each flag has to be that the deployment has touched, by its document and its status alone; `flags` are what is
/// stored, for the values of their variants.
pub(super) fn desired(
    deployment: &Deployment,
    status: &Status,
    flags: &BTreeMap<Arc<str>, FlagDocument>,
) -> BTreeMap<Arc<str>, Map<String, Value>> {
    let mut desired = status.stable.clone();
    let mut begun: Vec<(usize, &Stage)> = Vec::new();
    for (stage, state) in deployment.stages.iter().zip(&status.stages) {
        let counts = match state.state {
            StageState::InProgress
            | StageState::Validating
            | StageState::Paused
            | StageState::Completed
            | StageState::Failed => true,
            StageState::Pending | StageState::RollingBack | StageState::RolledBack => false,
        };
        if let (true, Some(order)) = (counts, state.order) {
            begun.push((order, stage));
        }
    }
    begun.sort_by_key(|(order, _)| *order);
    for (_, stage) in begun {
        let Some(state) = status.stages.iter().find(|state| state.name == stage.name) else { continue };
        let (Some(key), Some(setting)) = (&stage.flag, stage.setting(state.step)) else { continue };
        if setting == Setting::Back {
            let before = status.stable.get(key).map(|fields| (key.clone(), fields.clone()));
            desired.extend(before);
            continue;
        }
        if let Some(fields) = flags.get(key).and_then(|flag| fields(setting, state.side, flag)) {
            desired.insert(key.clone(), fields);
        }
    }
    desired
}

/// The fields of a flag that is set so.
fn fields(setting: Setting, side: Option<Side>, flag: &FlagDocument) -> Option<Map<String, Value>> {
    let fields = match setting {
        Setting::Share(share) => json!({
            "enabled": true,
            "rollout_enabled": true,
            "rollout_percentage": share,
            "rollout_stages": null,
        }),
        Setting::Back => return None,
        Setting::Switch => {
            let side = side?.as_str();
            json!({
                "enabled": true,
                "rollout_enabled": false,
                "default_value": flag.fields().get("variants")?.get(side)?,
            })
        }
    };
    match fields {
        Value::Object(fields) => Some(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

/// The fields of a flag that a stage is about to set, as they are now.
pub(super) fn captured(stage: &Stage, flag: &FlagDocument) -> Map<String, Value> {
    let names: &[&str] = match stage.strategy {
        "blue_green" => &["enabled", "rollout_enabled", "default_value"],
        _ => &["enabled", "rollout_enabled", "rollout_percentage", "rollout_stages"],
    };
    let value = |name: &str| flag.fields().get(name).cloned().unwrap_or_default();
    names.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

/// The share of users that a flag rolls out to now, in percent.
pub(super) fn share(flag: &FlagDocument) -> f64 {
    let whole = flag.complete();
    let is_on = |name: &str| whole.get(name) == Some(&Value::Bool(true));
    if !is_on("enabled") || !is_on("rollout_enabled") {
        return 0.0;
    }
    let stages = whole.get("rollout_stages").and_then(Value::as_array).filter(|stages| !stages.is_empty());
    let percentage = |fields: Option<&Value>| fields.and_then(Value::as_f64).unwrap_or_default();
    match stages {
        Some(stages) => stages.iter().map(|stage| percentage(stage.get("percentage"))).fold(0.0, f64::max),
        None => percentage(whole.get("rollout_percentage")),
    }
}

/// The side of a blue/green flag that serves now.
pub(super) fn serving(flag: &FlagDocument) -> Option<Side> {
    let default = flag.fields().get("default_value")?;
    let variants = flag.fields().get("variants")?.as_object()?;
    variants.iter().find(|(_, value)| *value == default).and_then(|(name, _)| Side::named(name))
}

/// Whether a flag has these fields; null stands for a field that is not set, or has its default.
#[must_use]
pub fn is_at(flag: &FlagDocument, fields: &Map<String, Value>) -> bool {
    let (whole, default) = (flag.complete(), FlagDocument::of_key("").complete());
    fields.iter().all(|(name, wanted)| {
        let wanted = if wanted.is_null() { default.get(name).unwrap_or(&Value::Null) } else { wanted };
        let found = whole.get(name).unwrap_or(&Value::Null);
        match (found.as_f64(), wanted.as_f64()) {
            (Some(found), Some(wanted)) => found == wanted,
            (_, _) => found == wanted,
        }
    })
}

/// A flag with these fields; null takes one out.
#[must_use]
pub fn with(flag: &FlagDocument, fields: &Map<String, Value>) -> Map<String, Value> {
    let mut changed = flag.fields().clone();
    for (name, value) in fields {
        if value.is_null() {
            changed.shift_remove(name);
        } else {
            changed.insert(name.clone(), value.clone());
        }
    }
    changed
}
