//! The audit log in the file, and where the changes of each document are in it.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use crate::{
    model::DocumentKey,
    store::{
        AuditEntry,
        commit::{AUDIT_BYTES, AUDIT_ENTRIES, audit_size},
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

/// The newest entries, newest first.
pub(super) fn newest(reading: &ReadTransaction, limit: usize) -> Result<Vec<AuditEntry>, Failure> {
    let audit = reading.open_table(AUDIT)?;
    audit.iter()?.rev().take(limit).map(|entry| Ok(serde_json::from_str(entry?.1.value().1)?)).collect()
}

/// The newest entries of one document, newest first.
pub(super) fn history(
    reading: &ReadTransaction,
    document: &DocumentKey,
    limit: usize,
) -> Result<Vec<AuditEntry>, Failure> {
    let (history, audit) = (reading.open_table(HISTORY)?, reading.open_table(AUDIT)?);
    let mut entries = Vec::new();
    for known in of_document(&history, document)?.rev().take(limit) {
        if let Some(entry) = audit.get(known?.0.value().2)? {
            entries.push(serde_json::from_str(entry.value().1)?);
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
