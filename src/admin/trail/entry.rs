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
    store::{AuditEntry, StoreError},
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

/// The page of those entries that are wanted, newest first: `{entries, next}`. `read` reads so many of the newest; it is
/// asked for more until the page is full or there are no more.
pub(super) async fn page<R: Future<Output = Result<Vec<AuditEntry>, StoreError>>>(
    page: &Page,
    full: bool,
    wanted: impl Fn(&AuditEntry) -> bool,
    read: impl Fn(usize) -> R,
) -> Result<Value, Refusal> {
    let limit = page.limit.unwrap_or(PAGE);
    let mut count = READ.max(limit + 2);
    loop {
        let entries = read(count).await?;
        let is_all = entries.len() < count;
        let from = match &page.after {
            None => Some(0),
            Some(after) => entries.iter().position(|entry| place(entry) == *after).map(|position| position + 1),
        };
        let rest = entries.get(from.unwrap_or(entries.len())..).unwrap_or_default();
        let found: Vec<usize> = (0..rest.len()).filter(|at| wanted(&rest[*at])).take(limit + 1).collect();
        if found.len() <= limit && !is_all {
            count = count.saturating_mul(4);
            continue;
        }
        let shown = found.iter().take(limit);
        let told: Vec<Value> = shown.clone().map(|at| told(&rest[*at], before(&rest[*at..]), full)).collect();
        let next = shown.clone().next_back().filter(|_| found.len() > limit).map(|last| cursor(&place(&rest[*last])));
        return Ok(json!({ "entries": told, "next": next }));
    }
}

/// What names an entry for ever.
fn place(entry: &AuditEntry) -> String {
    entry.revision.to_string()
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
