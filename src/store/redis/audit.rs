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

/// The newest entries, newest first.
pub(super) async fn newest(live: &mut Live, names: &Names, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut command = redis::cmd("XREVRANGE");
    command.arg(names.audit()).arg("+").arg("-").arg("COUNT").arg(limit);
    let found: Vec<(String, HashMap<String, Vec<u8>>)> = live.command(&command).await?;
    let entry = |(id, fields): (String, _)| {
        entry(fields).ok_or_else(|| StoreError::Damaged(format!("the audit entry {id} cannot be understood")))
    };
    found.into_iter().map(entry).collect()
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
        actor: text("actor")?,
        at: text("at")?.parse::<Timestamp>().ok()?,
        before: text("before").map(Arc::from),
        after: text("after").map(Arc::from),
    })
}
