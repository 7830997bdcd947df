//! What every store does alike on a write: the compare, the audit entry, the hint.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::model::{DocumentKey, WorldRevision};

use super::{Action, AuditEntry, Expected, Found, Hint, Place, StoreError, Write};

/// How many audit entries a store keeps.
pub(super) const AUDIT_ENTRIES: u64 = 10_000;

/// How many bytes of document text the audit entries of a store may hold together; the newest entry always stays.
pub(super) const AUDIT_BYTES: u64 = 64 << 20;

/// What a write that passed the compare does to its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// How the document changes.
    pub(super) action: Action,
    /// Its revision afterwards; for a removal, the one that it had.
    pub(super) revision: u64,
}

/// The compare of compare-and-set: `current` is the document's revision, `None` when there is none. A removal of what
/// is not there is a conflict whatever is expected, so that no write goes without an effect.
/// `last` is the last revision that the document had before it was removed, 0 if that is not known.
pub(super) fn compare(write: &Write, current: Option<u64>, last: u64) -> Result<Passed, StoreError> {
    let expected = match (write.expected, current) {
        (Expected::Absent, found) => found.is_none(),
        (Expected::Revision(asked), found) => found == Some(asked),
        (Expected::Present, found) => found.is_some(),
        (Expected::Any, _) => true,
    };
    match (expected, write.text.is_some(), current) {
        (true, true, None) => Ok(Passed { action: Action::Created, revision: last + 1 }),
        (true, true, Some(revision)) => Ok(Passed { action: Action::Updated, revision: revision + 1 }),
        (true, false, Some(revision)) => Ok(Passed { action: Action::Deleted, revision }),
        (_, _, current) => Err(StoreError::Conflict {
            document: write.document.clone(),
            found: current.map_or(Found::Absent, Found::Revision),
        }),
    }
}

/// The line of the audit log for a write that passed.
pub(super) fn audit_entry(write: Write, passed: Passed, world: WorldRevision, before: Option<Arc<str>>) -> AuditEntry {
    AuditEntry {
        revision: world,
        document: write.document,
        action: passed.action,
        document_revision: passed.revision,
        actor: write.actor,
        at: write.at,
        before,
        after: write.text,
    }
}

/// The bytes of text that an audit entry holds.
pub(super) fn audit_size(entry: &AuditEntry) -> u64 {
    let length = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len() as u64);
    length(&entry.before) + length(&entry.after)
}

/// The place of an audit entry, where entries are found by the number of their revision.
pub(super) fn place_of(entry: &AuditEntry) -> Place {
    entry.revision.to_string()
}

/// The number of the revision in a place.
pub(super) fn number_at(place: &str) -> Option<u64> {
    place.rsplit_once(':')?.1.parse().ok()
}

/// The hint for an audit entry.
pub(super) fn hint(entry: &AuditEntry) -> Hint {
    let AuditEntry { revision, document, action, at, .. } = entry;
    Hint { revision: revision.clone(), document: document.clone(), action: *action, at: Some(*at) }
}

/// The writes that a reseed consists of: what is not named goes, what is named comes or stays.
pub(super) fn reseeding(
    there: impl IntoIterator<Item = DocumentKey>,
    documents: Vec<(DocumentKey, Arc<str>)>,
    actor: &str,
    at: Timestamp,
) -> Vec<Write> {
    let documents: BTreeMap<DocumentKey, Arc<str>> = documents.into_iter().collect();
    let gone = there.into_iter().filter(|document| !documents.contains_key(document)).map(|document| (document, None));
    let gone: Vec<_> = gone.collect();
    let named = documents.into_iter().map(|(document, text)| (document, Some(text)));
    let write =
        |(document, text)| Write { document, text, expected: Expected::Any, actor: actor.to_owned(), at, fence: None };
    gone.into_iter().chain(named).map(write).collect()
}

/// The one hint of a reseed: at another epoch everybody loads in full, whatever it names.
pub(super) fn reseed_hint(revision: WorldRevision) -> Hint {
    Hint { revision, document: DocumentKey::flag(""), action: Action::Updated, at: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Expected, text: Option<&str>, current: Option<u64>, passed: Option<(Action, u64)>) {
        let write = Write {
            document: DocumentKey::flag("a"),
            text: text.map(Into::into),
            expected,
            actor: "test".into(),
            at: Timestamp::UNIX_EPOCH,
            fence: None,
        };
        let got = compare(&write, current, 0).ok().map(|passed| (passed.action, passed.revision));
        assert_eq!(got, passed, "{write:?} on {current:?}");
    }

    #[test]
    fn the_whole_table() {
        let put = Some("{}");
        check(Expected::Absent, put, None, Some((Action::Created, 1)));
        check(Expected::Absent, put, Some(3), None);
        check(Expected::Present, put, None, None);
        check(Expected::Present, put, Some(3), Some((Action::Updated, 4)));
        check(Expected::Revision(3), put, Some(3), Some((Action::Updated, 4)));
        check(Expected::Revision(2), put, Some(3), None);
        check(Expected::Revision(0), put, None, None);
        check(Expected::Revision(0), put, Some(0), Some((Action::Updated, 1)));
        check(Expected::Any, put, None, Some((Action::Created, 1)));
        check(Expected::Any, put, Some(3), Some((Action::Updated, 4)));

        check(Expected::Any, None, Some(3), Some((Action::Deleted, 3)));
        check(Expected::Present, None, Some(3), Some((Action::Deleted, 3)));
        check(Expected::Revision(3), None, Some(3), Some((Action::Deleted, 3)));
        check(Expected::Revision(2), None, Some(3), None);
        check(Expected::Absent, None, Some(3), None);
        check(Expected::Absent, None, None, None);
        check(Expected::Any, None, None, None);
    }
}
