//! Unleash: features as its clients get them (`/api/client/features`), and the events of its delta.
//!
//! Each strategy becomes a rule. A feature without variants becomes a boolean flag; one with variants has a value for each,
//! and `disabled` (false) for "off" as well as `enabled` (true) for "on, but no variant".

mod constraint;
mod dependency;
mod strategy;
mod variant;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::{dependency::Parents, variant::Variants};
use super::{ImportedFlag, Note, Notes, Reading};
use crate::{eval::escape, model::FlagDocument};

/// The features and segments of a source.
#[derive(Debug, Default)]
struct State<'s> {
    features: BTreeMap<&'s str, Feature<'s>>,
    segments: BTreeMap<String, &'s Value>,
}

/// A feature and where it stands.
#[derive(Clone, Debug)]
struct Feature<'s> {
    pointer: String,
    name: &'s str,
    fields: &'s Map<String, Value>,
}

impl<'s> Feature<'s> {
    fn list(&self, name: &str) -> &'s [Value] {
        self.fields.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

pub(super) fn read(source: &Value, reading: &mut Reading) {
    let mut state = State::default();
    match source.get("events") {
        Some(Value::Array(events)) => {
            for (position, event) in events.iter().enumerate() {
                state.happened(&format!("/events/{position}"), event, reading);
            }
        }
        Some(_) => reading.fault("/events", "expected an array of events"),
        None => state.take("", source, reading),
    }
    if !reading.faults.is_empty() {
        return;
    }
    let parents = Parents::of(&state);
    for feature in state.features.values() {
        let document = state.flag(feature, &parents, &mut reading.report);
        match FlagDocument::from_map(document) {
            Ok(document) => reading.flags.push(ImportedFlag {
                pointer: feature.pointer.clone(),
                name: feature.name.to_owned(),
                document,
            }),
            Err(fault) => reading.fault(&feature.pointer, fault.message),
        }
    }
}

impl<'s> State<'s> {
    /// Takes the features and segments of a list.
    fn take(&mut self, at: &str, source: &'s Value, reading: &mut Reading) {
        match source.get("features") {
            Some(Value::Array(features)) => {
                for (position, feature) in features.iter().enumerate() {
                    self.feature(format!("{at}/features/{position}"), feature, reading);
                }
            }
            _ => reading.fault(format!("{at}/features"), "expected an array of features"),
        }
        match source.get("segments") {
            None | Some(Value::Null) => {}
            Some(Value::Array(segments)) => segments.iter().for_each(|segment| self.segment(segment)),
            Some(_) => reading.fault(format!("{at}/segments"), "expected an array of segments"),
        }
    }

    /// Applies one event of the delta.
    fn happened(&mut self, at: &str, event: &'s Value, reading: &mut Reading) {
        match event.get("type").and_then(Value::as_str) {
            Some("hydration") => {
                *self = Self::default();
                self.take(at, event, reading);
            }
            Some("feature-updated") => match event.get("feature") {
                Some(feature) => self.feature(format!("{at}/feature"), feature, reading),
                None => reading.fault(format!("{at}/feature"), "the feature is missing"),
            },
            Some("feature-removed") => {
                let name = event.get("featureName").and_then(Value::as_str).unwrap_or_default();
                self.features.remove(name);
            }
            Some("segment-updated") => self.segment(event.get("segment").unwrap_or(&Value::Null)),
            Some("segment-removed") => {
                self.segments.remove(&id(event.get("segmentId").unwrap_or(&Value::Null)));
            }
            _ => reading.fault(format!("{at}/type"), "an unknown kind of event"),
        }
    }

    fn feature(&mut self, pointer: String, feature: &'s Value, reading: &mut Reading) {
        let Some(fields) = feature.as_object() else { return reading.fault(pointer, "a feature is an object") };
        let Some(name) = fields.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            return reading.fault(format!("{pointer}/name"), "the name is missing");
        };
        if fields.get("enabled").is_some_and(|enabled| !enabled.is_boolean()) {
            reading.fault(format!("{pointer}/enabled"), "expected true or false");
        }
        for list in ["strategies", "variants", "dependencies"] {
            match fields.get(list) {
                None | Some(Value::Null) => {}
                Some(Value::Array(items)) => {
                    for position in (0..).zip(items).filter(|(_, item)| !item.is_object()).map(|(position, _)| position)
                    {
                        let position: usize = position;
                        reading.fault(format!("{pointer}/{list}/{position}"), "expected an object");
                    }
                }
                Some(_) => reading.fault(format!("{pointer}/{list}"), "expected an array"),
            }
        }
        let is_event = pointer.starts_with("/events");
        if self.features.insert(name, Feature { pointer: pointer.clone(), name, fields }).is_some() && !is_event {
            reading.fault(format!("{pointer}/name"), format!("there is a feature {name:?} already"));
        }
    }

    fn segment(&mut self, segment: &'s Value) {
        self.segments.insert(id(segment.get("id").unwrap_or(&Value::Null)), segment);
    }

    fn flag(&self, feature: &Feature<'s>, parents: &Parents<'_>, report: &mut Vec<Note>) -> Map<String, Value> {
        let notes = &mut Notes { name: feature.name, report };
        let key = notes.key(&format!("{}/name", feature.pointer));
        let mut variants = Variants::of(feature, notes);
        let rules = self.rules(feature, &mut variants, notes);
        let text = |name: &str| feature.fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut flag = Map::from_iter([("key".to_owned(), json!(key)), ("name".to_owned(), json!(feature.name))]);
        let mut set = |name: &str, value: Value| flag.insert(name.to_owned(), value);
        if let Some(description) = text("description") {
            set("description", description.into());
        }
        let (prerequisites, off) = parents.prerequisites(feature, notes);
        set("flag_type", if variants.is_empty() { "boolean" } else { "json" }.into());
        set("default_value", false.into());
        let enabled = feature.fields.get("enabled").and_then(Value::as_bool).unwrap_or(false);
        set("enabled", (enabled && !off).into());
        set("targeting_enabled", true.into());
        set("targeting_rules", rules.into());
        if !prerequisites.is_empty() {
            set("prerequisites", prerequisites.into());
        }
        if !variants.is_empty() {
            set("variants", variants.values().into());
        }
        set("hash", "murmur3".into());
        let kind = match text("type") {
            Some("release") => Some("release"),
            Some("experiment") => Some("experiment"),
            Some("operational" | "kill-switch") => Some("ops"),
            Some("permission") => Some("permission"),
            _ => None,
        };
        if let Some(kind) = kind {
            set("kind", kind.into());
        }
        flag
    }
}

/// The id of a segment, a number mostly.
fn id(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The attribute that an entry of Unleash's context is here.
fn attribute(name: &str) -> &str {
    match name {
        "userId" => "user_id",
        "currentTime" => "now",
        other => other,
    }
}

/// A place below another.
fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", escape(name))
}
