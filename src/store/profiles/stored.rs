//! A profile as it is stored, changes to it, and places in a scan.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::model::Profile;

/// The most bytes that the JSON texts of a profile's attributes and behavioral data may have together: they are read on
/// the way of requests.
pub const MAX_PROFILE_BYTES: usize = 64 << 10;

/// All that is stored of a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredProfile {
    /// What flags and segments ask for, with the live activity.
    pub profile: Profile,
    /// The segments that the user was in when that was last worked out.
    pub segment_memberships: Vec<String>,
    /// When attributes or behavioral data were last written; none: nobody said, or only the activity is known.
    pub last_updated: Option<Timestamp>,
}

/// Changes of single fields; null removes one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfilePatch {
    /// Of the attributes.
    pub attributes: Map<String, Value>,
    /// Of the behavioral data.
    pub behavioral_data: Map<String, Value>,
}

impl ProfilePatch {
    /// Does the changes.
    pub fn apply(&self, profile: &mut Profile) {
        merge(&self.attributes, &mut profile.attributes);
        merge(&self.behavioral_data, &mut profile.behavioral_data);
    }
}

/// Does the changes of one part, one level deep.
pub(in crate::store) fn merge(changes: &Map<String, Value>, fields: &mut Map<String, Value>) {
    for (name, value) in changes {
        match value.is_null() {
            true => drop(fields.shift_remove(name)),
            false => drop(fields.insert(name.clone(), value.clone())),
        }
    }
}

/// What became of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patched {
    /// There was no profile; now there is.
    Created,
    /// The profile is changed.
    Updated,
    /// Nothing was done: so many bytes would be more than [`MAX_PROFILE_BYTES`].
    TooLarge(usize),
    /// Nothing was done: what something else stored there is no JSON object, and would be lost.
    Unreadable,
}

/// A profile of a batch that could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritten {
    /// Its position in the batch.
    pub position: usize,
    /// Why.
    pub why: String,
}

/// How many profiles there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// So many.
    pub number: u64,
    /// Whether they were counted, not estimated.
    pub exact: bool,
}

/// A place in a scan. Its text may be kept, and used with another gateway of the same store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The place that a text stands for.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text that stands for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many bytes the texts of a profile's attributes and behavioral data have together.
#[must_use]
pub fn profile_bytes(profile: &Profile) -> usize {
    [&profile.attributes, &profile.behavioral_data].into_iter().map(|fields| text_of(fields).len()).sum()
}

/// Fields as they are stored.
pub(in crate::store) fn text_of(fields: &Map<String, Value>) -> String {
    serde_json::to_string(fields).expect("a map of JSON values can always be written")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_go_one_level_deep() {
        let fields = |value: Value| value.as_object().cloned().unwrap();
        let mut profile =
            Profile { attributes: fields(json!({ "a": 1, "b": { "x": 1 }, "c": 2 })), ..Profile::default() };
        let attributes = fields(json!({ "a": null, "b": { "y": 2 }, "d": [], "e": null }));
        ProfilePatch { attributes, behavioral_data: fields(json!({ "n": 1.5 })) }.apply(&mut profile);
        assert_eq!(Value::from(profile.attributes), json!({ "b": { "y": 2 }, "c": 2, "d": [] }));
        assert_eq!(Value::from(profile.behavioral_data), json!({ "n": 1.5 }));
    }
}
