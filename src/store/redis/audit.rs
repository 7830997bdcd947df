//! The audit log as it stands in the stream.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    model::{DocumentKey, WorldRevision},
    store::{Action, AuditEntry, Entries, Place, StoreError},
};

use super::{
    connection::Live,
    names::{Names, kind},
};

/// How many entries are asked for at once.
const CHUNK: usize = 50;

/// So many changes of one document may come between two questions about its history.
const MEANWHILE: usize = 16;

/// An entry of the stream: its id and its fields.
type Found = (String, HashMap<String, Vec<u8>>);

/// Entries of all documents, newest first.
pub(super) async fn newest(
    live: &mut Live,
    names: &Names,
    wanted: Entries<'_>,
) -> Result<Vec<(Place, AuditEntry)>, StoreError> {
    let end = match wanted.behind.map(id_at) {
        None => "+".to_owned(),
        Some(Some(id)) => format!("({id}"),
        Some(None) => return Ok(Vec::new()),
    };
    if wanted.limit == 0 {
        return Ok(Vec::new());
    }
    let mut command = redis::cmd("XREVRANGE");
    command.arg(names.audit()).arg(end).arg("-").arg("COUNT").arg(wanted.limit);
    let found: Vec<Found> = live.command(&command).await?;
    found.into_iter().map(understood).collect()
}

/// Entries of one document, newest first.
pub(super) async fn history(
    live: &mut Live,
    names: &Names,
    document: &DocumentKey,
    wanted: Entries<'_>,
) -> Result<Vec<(Place, AuditEntry)>, StoreError> {
    let mut first = 0;
    if let Some(place) = wanted.behind {
        let mut command = redis::cmd("LPOS");
        command.arg(names.history(document)).arg(place);
        let Some(at) = live.command::<Option<usize>>(&command).await? else { return Ok(Vec::new()) };
        first = at + 1;
    }
    let mut command = redis::cmd("LRANGE");
    command.arg(names.history(document)).arg(first).arg(first + wanted.limit + MEANWHILE);
    let mut known: Vec<String> = live.command(&command).await?;
    if let Some(at) = wanted.behind.and_then(|place| known.iter().position(|known| known == place)) {
        known.drain(..=at);
    }
    known.truncate(wanted.limit);
    let mut entries = Vec::with_capacity(known.len());
    for chunk in known.chunks(CHUNK) {
        let mut asked = redis::pipe();
        for id in chunk.iter().filter_map(|known| id_at(known)) {
            asked.cmd("XRANGE").arg(names.audit()).arg(id).arg(id);
        }
        let found: Vec<Vec<Found>> = live.pipeline(&asked).await?;
        for found in found.into_iter().flatten() {
            entries.push(understood(found)?);
        }
    }
    Ok(entries)
}

/// The id in the stream that a place begins with.
fn id_at(place: &str) -> Option<&str> {
    let id = place.split(' ').next()?;
    let (time, number) = id.split_once('-')?;
    // Nothing can be in front of 0-0, so that is no end to Redis.
    time.parse::<u64>().ok().zip(number.parse::<u64>().ok()).filter(|both| *both != (0, 0)).map(|_| id)
}

/// The place is what the document's history holds: the id in the stream, and the document's revision.
fn understood((id, fields): Found) -> Result<(Place, AuditEntry), StoreError> {
    let entry =
        entry(fields).ok_or_else(|| StoreError::Damaged(format!("the audit entry {id} cannot be understood")))?;
    Ok((format!("{id} {}", entry.document_revision), entry))
}

fn entry(mut fields: HashMap<String, Vec<u8>>) -> Option<AuditEntry> {
    let mut text = |name: &str| fields.remove(name).map(|text| String::from_utf8_lossy(&text).into_owned());
    Some(AuditEntry {
        revision: WorldRevision { epoch: text("epoch")?.into(), number: text("revision")?.parse().ok()? },
        document: DocumentKey { kind: kind(&text("kind")?)?, key: text("key")?.into() },
        action: match &*text("action")? {
            "created" => Action::Created,
            "updated" => Action::Updated,
            "deleted" => Action::Deleted,
            _ => return None,
        },
        document_revision: text("document_revision").and_then(|revision| revision.parse().ok()).unwrap_or_default(),
        actor: text("actor")?,
        at: text("at")?.parse::<Timestamp>().ok()?,
        before: text("before").map(Arc::from),
        after: text("after").map(Arc::from),
    })
}
