//! The kill switches of a world: which flags they select, and what is refused when one is written.

use std::{collections::BTreeSet, sync::Arc};

use ahash::AHashMap;
use serde_json::{Map, Value};

use super::Snapshot;
use crate::{
    eval::{self, FlagIndex, KillNames, KillSwitch, Kills},
    model::{Arm, Effect, Fault, KillSwitchDocument, did_you_mean, is_writable_key},
};

/// The flags of each tag.
#[derive(Debug, Default)]
pub(super) struct Tagged(AHashMap<Arc<str>, BTreeSet<FlagIndex>>);

impl Tagged {
    /// Notes that a flag has other tags than before.
    pub(super) fn replace(&mut self, flag: FlagIndex, before: &[Arc<str>], after: &[Arc<str>]) {
        for tag in before.iter().filter(|tag| !after.contains(tag)) {
            if let Some(flags) = self.0.get_mut(tag) {
                flags.remove(&flag);
                if flags.is_empty() {
                    self.0.remove(tag);
                }
            }
        }
        for tag in after.iter().filter(|tag| !before.contains(tag)) {
            self.0.entry(Arc::clone(tag)).or_default().insert(flag);
        }
    }

    /// The flags with a tag, in the order of their positions.
    fn flags(&self, tag: &str) -> Vec<FlagIndex> {
        self.0.get(tag).into_iter().flatten().copied().collect()
    }
}

/// What the active switches do to the flags of a snapshot; none: nothing.
pub(super) fn build(
    switches: impl Iterator<Item = Arc<KillSwitch>>,
    snapshot: &Snapshot,
    tagged: &Tagged,
) -> Option<Arc<Kills>> {
    let names = KillNames {
        flags: snapshot.flags.len(),
        flag: &|key| snapshot.flag(key),
        tagged: &|tag| tagged.flags(tag),
        segments: &snapshot.segments.names,
    };
    Kills::build(switches, &names).map(Arc::new)
}

/// The tags of a flag's effective fields.
pub(super) fn tags(fields: &Map<String, Value>) -> Box<[Arc<str>]> {
    let tags = fields.get("tags").and_then(Value::as_array).into_iter().flatten();
    tags.filter_map(Value::as_str).map(Arc::from).collect()
}

/// Whether a switch is what keeps requests from going this way: a variation of its flags that is not the default, or a
/// strategy of its routes or to its upstreams. One that is about everything guards all routes.
pub(super) fn is_guarded(snapshot: &Snapshot, switch: &KillSwitch, arm: &Arm) -> bool {
    match arm {
        Arm::Variation { flag, variation } => {
            let flag = snapshot.flag(flag).and_then(|flag| snapshot.entry(flag));
            flag.filter(|_| !switch.takes_all()).is_some_and(|flag| {
                flag.compiled.default_variation() != &**variation && switch.selects(flag.compiled.key(), &flag.tags)
            })
        }
        Arm::Route { strategy, .. } if switch.takes_all() => **strategy != *"mirror",
        Arm::Route { route, strategy, upstream } => {
            let named = |name: &Arc<str>| switch.services.iter().any(|service| service == name);
            // The others are what stands in, and copies whose answers nobody gets.
            let is_stopped = matches!(&**strategy, "features" | "canary" | "blue_green");
            is_stopped && (named(route) || named(upstream))
        }
    }
}

/// Whether the requests of an arm are those that get, while a switch is active, what stands in for what it guards: the
/// default of its flags, the own upstream of its routes.
pub(super) fn stands_in(snapshot: &Snapshot, switch: &KillSwitch, arm: &Arm) -> bool {
    match arm {
        Arm::Variation { flag, variation } => {
            let flag = snapshot.flag(flag).and_then(|flag| snapshot.entry(flag));
            flag.filter(|_| !switch.takes_all()).is_some_and(|flag| {
                flag.compiled.default_variation() == &**variation && switch.selects(flag.compiled.key(), &flag.tags)
            })
        }
        Arm::Route { strategy, .. } if switch.takes_all() => **strategy != *"mirror",
        Arm::Route { route, strategy, .. } => {
            **strategy == *"default" && switch.services.iter().any(|service| service == route)
        }
    }
}

pub(super) fn check(snapshot: &Snapshot, document: &KillSwitchDocument) -> Vec<Fault> {
    let fault = |pointer: String, message: String| Fault { pointer, message, effect: Effect::Tolerated };
    let mut faults = Vec::new();
    if !is_writable_key(document.id()) {
        let message =
            "an id is 1 to 128 letters, digits, dots, underscores and dashes, and starts with a letter or digit";
        faults.push(fault("/id".to_owned(), message.to_owned()));
    }
    faults.extend(eval::check_kill_switch(document).1);
    let (flags, segments) = eval::kill_references(document.fields());
    for (pointer, key) in flags.into_iter().filter(|(_, key)| !key.is_empty() && snapshot.flag(key).is_none()) {
        let hint = did_you_mean(key, snapshot.index.keys().map(AsRef::as_ref));
        faults.push(fault(pointer, format!("there is no flag {key:?}{hint}")));
    }
    for (pointer, id) in segments.into_iter().filter(|(_, id)| !id.is_empty() && snapshot.segment(id).is_none()) {
        let hint = did_you_mean(id, snapshot.segments.names.keys().map(AsRef::as_ref));
        faults.push(fault(pointer, format!("there is no segment {id:?}{hint}")));
    }
    faults
}
