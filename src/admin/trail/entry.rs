//! One line of the audit log as it is told.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    admin::{
        documents::fields_of,
        paging::{Page, cursor},
        refusal::{Issue, Refusal},
    },
    model::differences,
    store::{AuditEntry, Place, StoreError},
};

/// How many entries a page has unless the request says otherwise.
const PAGE: usize = 50;

/// How many entries are read at first; more are when those do not suffice.
const READ: usize = 256;

/// Whether entries have whole documents besides what changed: `?full=true`.
pub(super) fn is_full(query: &str) -> Result<bool, Refusal> {
    let given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "full").last();
    match given.as_ref().map(|(_, value)| &**value) {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(_) => Err(Refusal::Invalid(vec![Issue::of_query("full", "expected \"true\" or \"false\"")])),
    }
}

/// The page of those entries that are wanted, newest first: `{entries, next}`. `read` reads entries behind a place, at most
/// so many; it is asked for more until the page is full or there are no more. So a page costs no more than the one before
/// it.
pub(super) async fn page<R: Future<Output = Result<Vec<(Place, AuditEntry)>, StoreError>>>(
    page: &Page,
    full: bool,
    wanted: impl Fn(&AuditEntry) -> bool,
    read: impl Fn(Option<Place>, usize) -> R,
) -> Result<Value, Refusal> {
    let limit = page.limit.unwrap_or(PAGE);
    let mut count = READ.max(limit + 2);
    let mut behind = page.after.clone();
    let (mut places, mut entries, mut found) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let more = read(behind, count).await?;
        let is_all = more.len() < count;
        for (place, entry) in more {
            if found.len() <= limit && wanted(&entry) {
                found.push(entries.len());
            }
            places.push(place);
            entries.push(entry);
        }
        if found.len() > limit || is_all {
            break;
        }
        behind = places.last().cloned();
        count = count.saturating_mul(4);
    }
    let shown = found.iter().take(limit);
    let told: Vec<Value> = shown.clone().map(|at| told(&entries[*at], before(&entries[*at..]), full)).collect();
    let next = shown.clone().next_back().filter(|_| found.len() > limit).map(|last| cursor(&places[*last]));
    Ok(json!({ "entries": told, "next": next }))
}

/// The text before the first of these entries, which are sorted newest first. Of what other programs wrote the entry
/// itself does not know it, but the one before it on the same document does.
fn before(entries: &[AuditEntry]) -> Option<&str> {
    let (entry, earlier) = entries.split_first()?;
    let last = || earlier.iter().find(|earlier| earlier.document == entry.document)?.after.as_deref();
    entry.before.as_deref().or_else(last)
}

fn told(entry: &AuditEntry, before: Option<&str>, full: bool) -> Value {
    let kind = entry.document.kind;
    let fields = |text: Option<&str>| Some(shortened(fields_of(kind, text?, false)?));
    let known = |text: Option<&str>| text.map_or(Some(Map::new()), |text| fields(Some(text)));
    let is_new = entry.action == crate::store::Action::Created;
    // Null: what was there is not known, or could not be read.
    let before = if is_new { Some(Map::new()) } else { fields(before) };
    let changes = before.zip(known(entry.after.as_deref())).map(|(before, after)| differences(&before, &after));
    let mut told = json!({
        "revision": entry.document_revision,
        "action": entry.action,
        "kind": entry.document.kind,
        "key": entry.document.key,
        "actor": entry.actor,
        "at": entry.at,
        "world": entry.revision.to_string(),
        "changes": changes,
    });
    if full {
        told["document"] = entry.after.as_deref().and_then(|text| fields_of(kind, text, true)).map(shortened).into();
    }
    told
}

/// A model's network is told by its hash: a page of networks would be many megabytes.
fn shortened(mut fields: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::String(network)) = fields.get_mut("onnx") {
        let digest = Sha256::digest(network.as_bytes());
        let hash = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        *network = format!("{} characters, SHA-256 {hash}", network.len());
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc};

    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{DocumentKey, WorldRevision},
        store::Action,
    };

    fn entry(number: u64) -> AuditEntry {
        AuditEntry {
            revision: WorldRevision { epoch: "e".into(), number },
            document: DocumentKey::flag("a"),
            action: Action::Updated,
            document_revision: number,
            actor: if number.is_multiple_of(100) { "rare" } else { "usual" }.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            before: Some(r#"{"key":"a"}"#.into()),
            after: Some(Arc::from(format!(r#"{{"key":"a","n":{number}}}"#))),
        }
    }

    /// The revisions on each page, and how many entries were read for it.
    async fn pages(all: u64, limit: usize, wanted: impl Fn(&AuditEntry) -> bool) -> Vec<(Vec<u64>, usize)> {
        let log: Vec<AuditEntry> = (1..=all).rev().map(entry).collect();
        let cost = Cell::new(0);
        let read = async |behind: Option<Place>, limit: usize| {
            let from =
                behind.map_or(0, |place| log.iter().position(|one| one.revision.to_string() == place).unwrap() + 1);
            let read =
                log[from..].iter().take(limit).map(|one| (one.revision.to_string(), one.clone())).collect::<Vec<_>>();
            cost.set(cost.get() + read.len());
            Ok(read)
        };
        let mut asked = Page::default();
        asked.limit = Some(limit);
        let mut pages = Vec::new();
        loop {
            cost.set(0);
            let told = page(&asked, false, &wanted, read).await.unwrap();
            let numbers = told["entries"].as_array().unwrap().iter().map(|one| one["revision"].as_u64().unwrap());
            pages.push((numbers.collect(), cost.get()));
            let Some(next) = told["next"].as_str() else { return pages };
            asked.after = crate::admin::paging::place(next);
        }
    }

    #[tokio::test]
    async fn a_deep_page_costs_what_the_first_one_does() {
        let pages = pages(5_000, 100, |_| true).await;
        assert_eq!(pages.len(), 50);
        let numbers: Vec<u64> = pages.iter().flat_map(|(numbers, _)| numbers.clone()).collect();
        assert_eq!(numbers, (1..=5_000).rev().collect::<Vec<_>>());
        assert!(pages.iter().all(|(_, cost)| *cost <= 256), "{:?}", pages.last());
    }

    #[tokio::test]
    async fn what_is_rare_is_found_by_reading_on() {
        let pages = pages(2_000, 3, |entry| entry.actor == "rare").await;
        let numbers: Vec<u64> = pages.iter().flat_map(|(numbers, _)| numbers.clone()).collect();
        assert_eq!(numbers, (1..=20).rev().map(|number| number * 100).collect::<Vec<_>>());
        assert!(pages.iter().all(|(_, cost)| *cost <= 256 + 1_024), "{pages:?}");
    }
}
