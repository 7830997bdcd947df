//! What an import would do: the difference between what is stored and what was sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    eval,
    model::FlagDocument,
    store::{Expected, Stored},
};

/// The fields that say who wrote when. They come with the writing, and no change is told by them.
const STAMPS: [&str; 4] = ["created_at", "updated_at", "created_by", "updated_by"];

/// What happens to one flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    Created,
    Updated,
    Unchanged,
    Deleted,
}

impl Fate {
    pub(super) const ALL: [Self; 4] = [Self::Created, Self::Updated, Self::Unchanged, Self::Deleted];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
        }
    }
}

/// One field that changes.
#[derive(Debug, Serialize)]
struct FieldChange {
    field: String,
    before: Value,
    after: Value,
}

/// What happens to one flag, and how it is written.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) action: Fate,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<FieldChange>,
    #[serde(skip)]
    pub(super) text: Option<Arc<str>>,
    #[serde(skip)]
    pub(super) expected: Expected,
}

impl Entry {
    /// What happens to the flag that `wanted` describes.
    fn of(wanted: &FlagDocument, stored: Option<&Stored>) -> Self {
        let key = wanted.key().to_owned();
        let Some(stored) = stored else {
            let text = Some(wanted.to_text().into());
            return Self { key, action: Fate::Created, changes: Vec::new(), text, expected: Expected::Absent };
        };
        let expected = Expected::Revision(stored.revision);
        let Ok(before) = FlagDocument::parse(&stored.text) else {
            // Damaged, so nothing of it can be told apart.
            let text = Some(wanted.to_text().into());
            return Self { key, action: Fate::Updated, changes: Vec::new(), text, expected };
        };
        let changes = differences(&before.complete(), &wanted.complete());
        if changes.is_empty() {
            return Self { key, action: Fate::Unchanged, changes, text: None, expected };
        }
        let text = Some(Value::Object(stamped(wanted, &before)).to_string().into());
        Self { key, action: Fate::Updated, changes, text, expected }
    }
}

/// What happens to every flag, in an order in which it can be written: what others rest on comes before them, and is
/// removed after them.
pub(super) fn plan(stored: &[Stored], wanted: &[FlagDocument], replace: bool) -> Vec<Entry> {
    let there: BTreeMap<&str, &Stored> = stored.iter().map(|stored| (&*stored.document.key, stored)).collect();
    let named: BTreeSet<&str> = wanted.iter().map(FlagDocument::key).collect();
    let puts = rested_on_first(wanted).into_iter().map(|flag| Entry::of(flag, there.get(flag.key()).copied()));
    let mut entries: Vec<Entry> = puts.collect();
    if replace {
        let gone: Vec<&Stored> = stored.iter().filter(|stored| !named.contains(&*stored.document.key)).collect();
        entries.extend(gone_in_order(&gone).into_iter().map(|stored| Entry {
            key: stored.document.key.to_string(),
            action: Fate::Deleted,
            changes: Vec::new(),
            text: None,
            expected: Expected::Revision(stored.revision),
        }));
    }
    entries
}

fn gone_in_order<'s>(gone: &[&'s Stored]) -> Vec<&'s Stored> {
    let readable: Vec<FlagDocument> = gone.iter().filter_map(|gone| FlagDocument::parse(&gone.text).ok()).collect();
    let order: Vec<&str> = rested_on_first(&readable).into_iter().rev().map(FlagDocument::key).collect();
    let mut ordered: Vec<&Stored> = gone.to_vec();
    ordered.sort_by_key(|gone| order.iter().position(|key| *key == &*gone.document.key));
    ordered
}

/// The new document with the time and author of the creation that it replaces.
fn stamped(wanted: &FlagDocument, before: &FlagDocument) -> Map<String, Value> {
    let mut fields = wanted.fields().clone();
    for name in ["created_at", "created_by"] {
        if let Some(known) = before.fields().get(name) {
            fields.insert(name.to_owned(), known.clone());
        }
    }
    fields
}

fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<FieldChange> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let names = after.keys().chain(gone).filter(|name| !STAMPS.contains(&name.as_str()));
    let value = |fields: &Map<String, Value>, name: &str| fields.get(name).cloned().unwrap_or_default();
    names
        .filter(|name| !eval::equal(&value(before, name), &value(after, name)))
        .map(|name| FieldChange { field: name.clone(), before: value(before, name), after: value(after, name) })
        .collect()
}

/// The flags, each after those of them that it rests on. A cycle is broken somewhere: it was refused before.
fn rested_on_first(flags: &[FlagDocument]) -> Vec<&FlagDocument> {
    let by_key: BTreeMap<&str, &FlagDocument> = flags.iter().map(|flag| (flag.key(), flag)).collect();
    let mut seen = BTreeSet::new();
    let mut ordered = Vec::with_capacity(flags.len());
    for flag in flags {
        let mut walk = vec![(flag, false)];
        while let Some((flag, ready)) = walk.pop() {
            if ready {
                ordered.push(flag);
            } else if seen.insert(flag.key()) {
                walk.push((flag, true));
                walk.extend(rests_on(flag).filter_map(|key| by_key.get(key)).map(|flag| (*flag, false)));
            }
        }
    }
    ordered
}

fn rests_on(flag: &FlagDocument) -> impl Iterator<Item = &str> {
    let overrides = flag.fields().get("environments").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let partial = std::iter::once(flag.fields()).chain(overrides.filter_map(Value::as_object));
    let prerequisites = partial.filter_map(|fields| fields.get("prerequisites")?.as_array()).flatten();
    let parent = flag.fields().get("parent").and_then(Value::as_str);
    parent.into_iter().chain(prerequisites.filter_map(eval::prerequisite_key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::DocumentKey;

    fn flags(documents: &[Value]) -> Vec<FlagDocument> {
        documents.iter().map(|document| FlagDocument::parse(&document.to_string()).unwrap()).collect()
    }

    fn stored(document: &Value) -> Stored {
        let key = document["key"].as_str().unwrap_or("damaged");
        Stored { document: DocumentKey::flag(key), text: document.to_string().into(), revision: 3 }
    }

    #[test]
    fn what_is_rested_on_comes_first_and_goes_last() {
        let documents = [
            json!({"key": "c", "prerequisites": ["b"]}),
            json!({"key": "b", "parent": "a"}),
            json!({"key": "a"}),
            json!({"key": "e", "environments": {"live": {"prerequisites": [{"key": "c"}]}}}),
        ];
        let fates = |entries: Vec<Entry>| -> Vec<String> {
            entries.iter().map(|entry| format!("{} {}", entry.key, entry.action.as_str())).collect()
        };
        let created = plan(&[], &flags(&documents), true);
        assert_eq!(fates(created), ["a created", "b created", "c created", "e created"]);
        let mut there: Vec<Stored> = documents.iter().map(stored).collect();
        there.push(stored(&json!({"x": 1})));
        let deleted = plan(&there, &[], true);
        assert_eq!(fates(deleted), ["damaged deleted", "e deleted", "c deleted", "b deleted", "a deleted"]);
        assert_eq!(fates(plan(&there, &[], false)), [""; 0]);
    }

    #[test]
    fn defaults_and_stamps_are_no_change() {
        let before =
            stored(&json!({"key": "a", "name": "A", "created_at": "2020-01-01T00:00:00Z", "created_by": "me"}));
        let same = json!({"key": "a", "name": "A", "enabled": true, "rollout_percentage": 0, "updated_at": "2026-01-01T00:00:00Z"});
        assert_eq!(plan(std::slice::from_ref(&before), &flags(&[same]), false)[0].action, Fate::Unchanged);
        let other = json!({"key": "a", "name": "B", "owner": "us", "created_at": "2025-01-01T00:00:00Z"});
        let entries = plan(&[before], &flags(&[other]), false);
        assert_eq!(
            json!(entries[0].changes),
            json!([{"field": "name", "before": "A", "after": "B"}, {"field": "owner", "before": null, "after": "us"}])
        );
        let text: Value = serde_json::from_str(entries[0].text.as_ref().unwrap()).unwrap();
        assert_eq!((&text["created_at"], &text["created_by"]), (&json!("2020-01-01T00:00:00Z"), &json!("me")));
    }
}
