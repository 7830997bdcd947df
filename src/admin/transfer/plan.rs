//! What an import would do: the difference between what is stored and what was sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    admin::documents::Document,
    eval,
    model::DocumentKey,
    store::{Expected, Stored},
};

/// The fields that say who wrote when. They come with the writing, and no change is told by them.
const STAMPS: [&str; 4] = ["created_at", "updated_at", "created_by", "updated_by"];

/// What happens to one document.
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

/// What happens to one document, and how it is written.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) action: Fate,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<FieldChange>,
    #[serde(skip)]
    pub(super) document: DocumentKey,
    #[serde(skip)]
    pub(super) text: Option<Arc<str>>,
    #[serde(skip)]
    pub(super) expected: Expected,
}

impl Entry {
    /// What happens to the document that `wanted` describes.
    fn of<D: Document>(wanted: &D, stored: Option<&Stored>) -> Self {
        let entry = |action, changes, text, expected| {
            let document = D::key(wanted.name());
            Self { key: wanted.name().to_owned(), action, changes, document, text, expected }
        };
        let Some(stored) = stored else {
            let text = Some(wanted.to_text().into());
            return entry(Fate::Created, Vec::new(), text, Expected::Absent);
        };
        let expected = Expected::Revision(stored.revision);
        let Ok(before) = D::parse(&stored.text) else {
            // Damaged, so nothing of it can be told apart.
            let text = Some(wanted.to_text().into());
            return entry(Fate::Updated, Vec::new(), text, expected);
        };
        let changes = differences::<D>(&before.complete(), &wanted.complete());
        if changes.is_empty() {
            return entry(Fate::Unchanged, changes, None, expected);
        }
        let text = Some(Value::Object(stamped(wanted, &before)).to_string().into());
        entry(Fate::Updated, changes, text, expected)
    }
}

/// What happens to every document of a kind, in an order in which it can be written: what others rest on comes before
/// them, and is removed after them.
pub(super) fn plan<D: Document>(stored: &[Stored], wanted: &[D], replace: bool) -> Vec<Entry> {
    let there: BTreeMap<&str, &Stored> = stored.iter().map(|stored| (&*stored.document.key, stored)).collect();
    let named: BTreeSet<&str> = wanted.iter().map(D::name).collect();
    let puts = rested_on_first(wanted).into_iter().map(|wanted| Entry::of(wanted, there.get(wanted.name()).copied()));
    let mut entries: Vec<Entry> = puts.collect();
    if replace {
        let gone: Vec<&Stored> = stored.iter().filter(|stored| !named.contains(&*stored.document.key)).collect();
        entries.extend(gone_in_order::<D>(&gone).into_iter().map(|stored| Entry {
            key: stored.document.key.to_string(),
            action: Fate::Deleted,
            changes: Vec::new(),
            document: stored.document.clone(),
            text: None,
            expected: Expected::Revision(stored.revision),
        }));
    }
    entries
}

fn gone_in_order<'s, D: Document>(gone: &[&'s Stored]) -> Vec<&'s Stored> {
    let readable: Vec<D> = gone.iter().filter_map(|gone| D::parse(&gone.text).ok()).collect();
    let order: Vec<&str> = rested_on_first(&readable).into_iter().rev().map(D::name).collect();
    let mut ordered: Vec<&Stored> = gone.to_vec();
    ordered.sort_by_key(|gone| order.iter().position(|key| *key == &*gone.document.key));
    ordered
}

/// The new document with the time and author of the creation that it replaces, and what the service worked out.
fn stamped<D: Document>(wanted: &D, before: &D) -> Map<String, Value> {
    let mut fields = wanted.fields().clone();
    for name in D::WORKED_OUT.iter().chain(&["created_at", "created_by"]) {
        if let Some(known) = before.fields().get(*name) {
            fields.insert((*name).to_owned(), known.clone());
        }
    }
    fields
}

fn differences<D: Document>(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<FieldChange> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let is_told = |name: &str| !STAMPS.contains(&name) && !D::WORKED_OUT.contains(&name);
    let names = after.keys().chain(gone).filter(|name| is_told(name));
    let value = |fields: &Map<String, Value>, name: &str| fields.get(name).cloned().unwrap_or_default();
    names
        .filter(|name| !eval::equal(&value(before, name), &value(after, name)))
        .map(|name| FieldChange { field: name.clone(), before: value(before, name), after: value(after, name) })
        .collect()
}

/// The documents, each after those of them that it rests on. A cycle is broken somewhere: it was refused before.
fn rested_on_first<D: Document>(documents: &[D]) -> Vec<&D> {
    let by_name: BTreeMap<&str, &D> = documents.iter().map(|document| (document.name(), document)).collect();
    let mut seen = BTreeSet::new();
    let mut ordered = Vec::with_capacity(documents.len());
    for document in documents {
        let mut walk = vec![(document, false)];
        while let Some((document, ready)) = walk.pop() {
            if ready {
                ordered.push(document);
            } else if seen.insert(document.name()) {
                walk.push((document, true));
                let before = document.rests_on();
                walk.extend(before.iter().filter_map(|name| by_name.get(name.as_str())).map(|before| (*before, false)));
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{DocumentKey, FlagDocument};

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
        let deleted = plan::<FlagDocument>(&there, &[], true);
        assert_eq!(fates(deleted), ["damaged deleted", "e deleted", "c deleted", "b deleted", "a deleted"]);
        assert_eq!(fates(plan::<FlagDocument>(&there, &[], false)), [""; 0]);
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
