//! The audit log as it stands in the stream.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    model::{DocumentKey, WorldRevision},
    store::{Action, AuditEntry, StoreError},
};

use super::{
    connection::Live,
    names::{Names, kind},
};

/// How many entries are asked for at once.
const CHUNK: usize = 50;

/// An entry of the stream: its id and its fields.
type Found = (String, HashMap<String, Vec<u8>>);

/// The newest entries, newest first.
pub(super) async fn newest(live: &mut Live, names: &Names, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut command = redis::cmd("XREVRANGE");
    command.arg(names.audit()).arg("+").arg("-").arg("COUNT").arg(limit);
    let found: Vec<Found> = live.command(&command).await?;
    found.into_iter().map(understood).collect()
}

/// The newest entries of one document, newest first.
pub(super) async fn history(
    live: &mut Live,
    names: &Names,
    document: &DocumentKey,
    limit: usize,
) -> Result<Vec<AuditEntry>, StoreError> {
    let Some(last) = limit.checked_sub(1) else { return Ok(Vec::new()) };
    let mut command = redis::cmd("LRANGE");
    command.arg(names.history(document)).arg(0).arg(last);
    let known: Vec<String> = live.command(&command).await?;
    let mut entries = Vec::with_capacity(known.len());
    for chunk in known.chunks(CHUNK) {
        let mut asked = redis::pipe();
        for known in chunk {
            let id = known.split(' ').next().unwrap_or_default();
            asked.cmd("XRANGE").arg(names.audit()).arg(id).arg(id);
        }
        let found: Vec<Vec<Found>> = live.pipeline(&asked).await?;
        for found in found.into_iter().flatten() {
            entries.push(understood(found)?);
        }
    }
    Ok(entries)
}

fn understood((id, fields): Found) -> Result<AuditEntry, StoreError> {
    entry(fields).ok_or_else(|| StoreError::Damaged(format!("the audit entry {id} cannot be understood")))
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
