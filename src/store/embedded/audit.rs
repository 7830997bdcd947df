//! The audit log in the file, and where the changes of each document are in it.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use crate::{
    model::DocumentKey,
    store::{
        AuditEntry, Entries, Place,
        commit::{AUDIT_BYTES, AUDIT_ENTRIES, audit_size, number_at, place_of},
    },
};

use super::{Failure, NUMBERS, number};

/// The world's revision after the change → size of the texts and the entry as JSON.
const AUDIT: TableDefinition<'_, u64, (u64, &str)> = TableDefinition::new("audit");
/// Kind, key and the world's revision after the change → the document's own.
const HISTORY: TableDefinition<'_, (&str, &str, u64), u64> = TableDefinition::new("history");

/// A place in the history.
type At = (&'static str, &'static str, u64);

/// Creates the tables.
pub(super) fn prepare(writing: &WriteTransaction) -> Result<(), Failure> {
    writing.open_table(AUDIT)?;
    writing.open_table(HISTORY)?;
    Ok(())
}

/// Entries, newest first.
pub(super) fn entries(reading: &ReadTransaction, wanted: Entries<'_>) -> Result<Vec<(Place, AuditEntry)>, Failure> {
    let (history, audit) = (reading.open_table(HISTORY)?, reading.open_table(AUDIT)?);
    let read = |text: &str| -> Result<(Place, AuditEntry), Failure> {
        let entry: AuditEntry = serde_json::from_str(text)?;
        Ok((place_of(&entry), entry))
    };
    let end = match wanted.behind {
        None => u64::MAX,
        Some(place) => {
            let Some(number) = number_at(place) else { return Ok(Vec::new()) };
            let known = audit.get(number)?.map(|entry| read(entry.value().1)).transpose()?;
            match known {
                Some((known, _)) if known == place => number,
                Some(_) | None => return Ok(Vec::new()),
            }
        }
    };
    let Some(document) = wanted.of else {
        return audit.range(..end)?.rev().take(wanted.limit).map(|entry| read(entry?.1.value().1)).collect();
    };
    let (kind, key) = (document.kind.as_str(), &*document.key);
    let mut entries = Vec::new();
    for known in history.range((kind, key, 0)..(kind, key, end))?.rev().take(wanted.limit) {
        if let Some(entry) = audit.get(known?.0.value().2)? {
            entries.push(read(entry.value().1)?);
        }
    }
    Ok(entries)
}

/// The last revision of a document that its history knows; 0: none.
pub(super) fn last_revision(writing: &WriteTransaction, document: &DocumentKey) -> Result<u64, Failure> {
    let history = writing.open_table(HISTORY)?;
    let last = of_document(&history, document)?.next_back().transpose()?;
    Ok(last.map_or(0, |(_, revision)| revision.value()))
}

/// Appends an entry, and forgets the oldest when there is too much.
pub(super) fn remember(writing: &WriteTransaction, entry: &AuditEntry) -> Result<(), Failure> {
    let (mut audit, mut history) = (writing.open_table(AUDIT)?, writing.open_table(HISTORY)?);
    let mut numbers = writing.open_table(NUMBERS)?;
    let size = audit_size(entry);
    let mut bytes = number(&numbers, "audit_bytes")? + size;
    audit.insert(entry.revision.number, (size, &*serde_json::to_string(entry)?))?;
    let of = |entry: &AuditEntry| (entry.document.kind.as_str(), entry.document.key.clone(), entry.revision.number);
    let (kind, key, number) = of(entry);
    history.insert((kind, &*key, number), entry.document_revision)?;
    while audit.len()? > 1 && (audit.len()? > AUDIT_ENTRIES || bytes > AUDIT_BYTES) {
        let Some((_, oldest)) = audit.pop_first()? else { break };
        bytes = bytes.saturating_sub(oldest.value().0);
        let (kind, key, number) = of(&serde_json::from_str(oldest.value().1)?);
        history.remove((kind, &*key, number))?;
    }
    numbers.insert("audit_bytes", bytes)?;
    Ok(())
}

/// The history of one document, oldest first.
fn of_document<'t>(
    history: &'t impl ReadableTable<At, u64>,
    document: &DocumentKey,
) -> Result<redb::Range<'t, At, u64>, Failure> {
    let (kind, key) = (document.kind.as_str(), &*document.key);
    Ok(history.range((kind, key, 0)..=(kind, key, u64::MAX))?)
}
