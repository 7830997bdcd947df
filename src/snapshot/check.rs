//! What is refused when a document is written.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Snapshot, effective, graph};
use crate::{
    eval::{self, SegmentIndex},
    model::{Effect, Fault, FlagDocument, is_writable_key},
};

pub(super) fn check(snapshot: &Snapshot, document: &FlagDocument) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !is_writable_key(document.key()) {
        let message =
            "a key is 1 to 128 letters, digits, dots, underscores and dashes, and starts with a letter or digit";
        faults.push(refused("/key".to_owned(), message.to_owned()));
    }
    faults.extend(in_environment(snapshot, document, None));
    for environment in environments(document) {
        let at = format!("/environments/{}", environment.replace('~', "~0").replace('/', "~1"));
        let overridden = |fault: &Fault| {
            // What the environment does not override was reported already, at its own place.
            let first = fault.pointer.split('/').nth(1).unwrap_or_default();
            fault.pointer.starts_with("/environments") || overrides(document, environment).contains_key(first)
        };
        let found = in_environment(snapshot, document, Some(environment)).into_iter().filter(overridden);
        faults.extend(found.map(|fault| match fault.pointer.starts_with("/environments") {
            true => fault,
            false => Fault { pointer: format!("{at}{}", fault.pointer), ..fault },
        }));
    }
    faults.extend(references(snapshot, document));
    faults
}

fn in_environment(snapshot: &Snapshot, document: &FlagDocument, environment: Option<&str>) -> Vec<Fault> {
    match effective::effective(document, environment, |key| snapshot.document(key)) {
        Ok(fields) => {
            let compiled = eval::compile(&document.key().into(), &fields, &|_| None, &snapshot.segments.names, None);
            // Flags are looked for by `references`.
            let segments =
                compiled.flag.missing().into_iter().filter(|fault| fault.pointer.starts_with("/targeting_rules"));
            let mut faults = compiled.faults;
            faults.extend(segments);
            let known: BTreeSet<String> = faults.iter().map(|fault| fault.pointer.clone()).collect();
            faults.extend(eval::check(&fields).into_iter().filter(|fault| !known.contains(&fault.pointer)));
            faults
        }
        Err(fault) => vec![fault],
    }
}

fn environments(document: &FlagDocument) -> impl Iterator<Item = &str> {
    document.fields().get("environments").and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str)
}

fn overrides<'d>(document: &'d FlagDocument, environment: &str) -> &'d Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    let environments = document.fields().get("environments");
    environments.and_then(|all| all.get(environment)).and_then(Value::as_object).unwrap_or(&NONE)
}

/// Flags that this one refers to and that do not exist, cycles, and chains that are too long.
fn references(snapshot: &Snapshot, document: &FlagDocument) -> Vec<Fault> {
    let mut faults = Vec::new();
    let own = document.key();
    for (pointer, key) in named(document) {
        if key == own {
            faults.push(refused(pointer, format!("the flag refers to itself: {own} → {own}")));
            continue;
        }
        if snapshot.flag(key).is_none() {
            faults.push(refused(pointer, format!("there is no flag {key:?}")));
            continue;
        }
        if let Some(path) = way(snapshot, key, own) {
            faults.push(refused(pointer, format!("a cycle: {own} → {}", path.join(" → "))));
        }
    }
    if faults.is_empty() {
        faults.extend(too_deep(snapshot, document));
    }
    faults
}

fn too_deep(snapshot: &Snapshot, document: &FlagDocument) -> Option<Fault> {
    let mut level: BTreeSet<&str> = named(document).into_iter().map(|(_, key)| key).collect();
    let mut depth = 0;
    while !level.is_empty() && depth <= graph::MAX_CHAIN {
        depth += 1;
        let next = level.iter().filter_map(|key| snapshot.document(key)).flat_map(named);
        level = next.map(|(_, key)| key).collect();
    }
    if depth > graph::MAX_CHAIN {
        let message = format!("more than {} flags stand behind this one", graph::MAX_CHAIN);
        return Some(refused("/prerequisites".to_owned(), message));
    }
    let parent = |document: &FlagDocument| snapshot.document(document.fields().get("parent")?.as_str()?);
    let ancestors = std::iter::successors(parent(document), |ancestor| parent(ancestor));
    (ancestors.take(effective::MAX_ANCESTORS + 1).count() > effective::MAX_ANCESTORS)
        .then(|| refused("/parent".to_owned(), format!("a flag has at most {} ancestors", effective::MAX_ANCESTORS)))
}

/// Whether a document refers to the flag `key`.
pub(super) fn refers_to(document: &FlagDocument, key: &str) -> bool {
    named(document).iter().any(|(_, named)| *named == key)
}

/// Whether a flag names a segment in another environment than the one that is served, or in rules that are switched off.
pub(super) fn names_segment(snapshot: &Snapshot, document: &FlagDocument, segment: SegmentIndex) -> bool {
    let is_as_served = document.fields().get("targeting_enabled") == Some(&Value::Bool(true));
    if is_as_served && environments(document).next().is_none() {
        return false;
    }
    std::iter::once(None).chain(environments(document).map(Some)).any(|environment| {
        let fields = effective::effective(document, environment, |key| snapshot.document(key));
        fields.is_ok_and(|fields| {
            let mut fields = fields.into_owned();
            fields.insert("targeting_enabled".to_owned(), true.into());
            let names = &snapshot.segments.names;
            eval::compile(&document.key().into(), &fields, &|_| None, names, None).flag.segments().contains(&segment)
        })
    })
}

/// The flags that a document refers to as parent or prerequisite, in any environment, with the places.
fn named(document: &FlagDocument) -> Vec<(String, &str)> {
    let fields = document.fields();
    let mut named: Vec<(String, &str)> = Vec::new();
    named.extend(fields.get("parent").and_then(Value::as_str).map(|parent| ("/parent".to_owned(), parent)));
    named.extend(prerequisites("", fields));
    for environment in environments(document) {
        named.extend(prerequisites(&format!("/environments/{environment}"), overrides(document, environment)));
    }
    named
}

fn prerequisites<'d>(at: &str, fields: &'d Map<String, Value>) -> impl Iterator<Item = (String, &'d str)> {
    let entries = fields.get("prerequisites").and_then(Value::as_array).into_iter().flatten().enumerate();
    entries.filter_map(move |(position, entry)| {
        Some((format!("{at}/prerequisites/{position}"), eval::prerequisite_key(entry)?))
    })
}

/// The way from one flag to another along parents and prerequisites.
fn way<'s>(snapshot: &'s Snapshot, from: &'s str, to: &str) -> Option<Vec<&'s str>> {
    let mut seen = BTreeSet::from([from]);
    let mut walk = vec![vec![from]];
    while let Some(path) = walk.pop() {
        let last = path.last().copied()?;
        if last == to {
            return Some(path);
        }
        for (_, next) in snapshot.document(last).map(named).unwrap_or_default() {
            if seen.insert(next) {
                walk.push(path.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}

fn refused(pointer: String, message: String) -> Fault {
    Fault { pointer, message, effect: Effect::Tolerated }
}
