//! Dependencies: features that must be on, or off, for another to be on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Feature, State, variant::Variants};
use crate::import::{Notes, build};

/// What is to know of features on which others depend.
#[derive(Debug)]
pub(super) struct Parents<'s> {
    by_name: BTreeMap<&'s str, Parent>,
}

#[derive(Debug)]
struct Parent {
    variants: Variants,
    depends: bool,
}

impl<'s> Parents<'s> {
    pub(super) fn of(state: &State<'s>) -> Self {
        let parent = |feature: &Feature<'s>| {
            let mut unheard = Vec::new();
            let variants = Variants::of(feature, &mut Notes { name: feature.name, report: &mut unheard });
            Parent { variants, depends: !feature.list("dependencies").is_empty() }
        };
        Self { by_name: state.features.values().map(|feature| (feature.name, parent(feature))).collect() }
    }

    /// The prerequisites of a flag, and whether it is off for good.
    pub(super) fn prerequisites(&self, feature: &Feature<'_>, notes: &mut Notes<'_>) -> (Vec<Value>, bool) {
        let mut prerequisites = Vec::new();
        for (position, dependency) in feature.list("dependencies").iter().enumerate() {
            let at = format!("{}/dependencies/{position}", feature.pointer);
            let name = dependency.get("feature").and_then(Value::as_str).unwrap_or_default();
            let why = match self.by_name.get(name) {
                Some(parent) if !parent.depends => {
                    prerequisites.push(prerequisite(name, parent, dependency));
                    continue;
                }
                Some(_) => "that feature depends on others itself, which Unleash takes for off",
                None => "the source does not hold that feature",
            };
            notes.add(at, format!("the dependency on {name:?}"), why, "the flag is off, as in Unleash");
            return (Vec::new(), true);
        }
        (prerequisites, false)
    }
}

fn prerequisite(name: &str, parent: &Parent, dependency: &Value) -> Value {
    let key = build::key(name);
    let variants = &parent.variants;
    let mut wanted = json!({ "key": key });
    if dependency.get("enabled") == Some(&Value::Bool(false)) {
        wanted["negate"] = true.into();
    } else if let Some(named) = dependency.get("variants").and_then(Value::as_array).filter(|named| !named.is_empty()) {
        // Unleash calls "on, but no variant" disabled.
        let here = |name: &str| if name == "disabled" { variants.on().to_owned() } else { name.to_owned() };
        wanted["variations"] = named.iter().filter_map(Value::as_str).map(here).collect();
        return wanted;
    }
    // A variant may have a payload that says no, though the feature is on.
    let says_no = |value: &Value| matches!(value, Value::Bool(false)) || *value == json!(0) || *value == json!("");
    let empty =
        |value: &Value| value.as_array().is_some_and(Vec::is_empty) || *value == json!({}) || *value == json!(0.0);
    if variants.all_on().any(|(_, value)| says_no(value) || empty(value)) {
        wanted["variations"] = variants.all_on().map(|(name, _)| Value::from(name)).collect();
    }
    wanted
}
