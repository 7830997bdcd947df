//! Reading documents: all of them at one moment, or a few.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    model::{DocumentKey, DocumentKind, MAX_DOCUMENT_BYTES, WorldRevision, unreadable},
    store::{Contents, StoreError, Stored},
};

use super::{
    connection::Live,
    error::unavailable,
    names::{self, Names},
    scripts::{Scripts, Wanted},
};

/// How many documents are asked for at once.
pub(super) const CHUNK: usize = 500;

/// How many keys the server looks at in one step of a scan.
pub(super) const SCAN_STEP: usize = 1000;

/// How often everything is read again because it changed meanwhile.
const TRIES: usize = 3;

/// The answer of the script: the world's revision, how many documents were done, and these documents with state,
/// revision and text.
type Answer = (String, u64, usize, Vec<Option<(String, u64, Vec<u8>)>>);

/// Reads everything of these kinds.
///
/// What is answered carries the revision that was there *before* the reading. When that still holds after it, nothing
/// came between, as every change moves it. When it does not, all is read again, a few times; after that, under constant
/// writes, the mixture is answered under the first revision. That is right for who follows hints: each change after the
/// first revision has a hint of its own still to come, and reading a document twice does no harm. The later revision
/// would be wrong: of a change between the two, the document may have been read before it. Another epoch or a lower
/// number is no change but another store (emptied, reseeded, an older replica): half of each is never answered.
pub(super) async fn read_all(
    live: &mut Live,
    scripts: &Scripts,
    names: &Names,
    kinds: &[DocumentKind],
) -> Result<Contents, StoreError> {
    let mut before = revision(live, scripts).await?;
    for tried in 1.. {
        let (found, after) = read_once(live, scripts, names, kinds).await?;
        let is_later = after.epoch == before.epoch && after.number >= before.number;
        if after == before || (tried >= TRIES && is_later) {
            let documents = found.into_values().collect();
            return Ok(Contents { revision: before, documents });
        }
        if tried >= 2 * TRIES {
            break;
        }
        before = after;
    }
    Err(unavailable("the store is replaced again and again while it is read"))
}

/// The documents, and the revision after the last was read.
async fn read_once(
    live: &mut Live,
    scripts: &Scripts,
    names: &Names,
    kinds: &[DocumentKind],
) -> Result<(BTreeMap<DocumentKey, Stored>, WorldRevision), StoreError> {
    let mut keys = BTreeSet::new();
    let mut found = BTreeMap::new();
    for kind in kinds {
        let mut cursor = 0;
        loop {
            let (next, scanned) = scan(live, names, *kind, cursor).await?;
            for key in scanned {
                match String::from_utf8(key) {
                    Ok(key) => drop(keys.insert(key)),
                    Err(error) => {
                        let document = strange_name(names, *kind, error.as_bytes());
                        found.insert(document.document.clone(), document);
                    }
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    // What the index knows is asked for too: while a slot moves to another node, a scan misses what has moved, and asking
    // for it is refused; a document that is silently missing would be taken for removed.
    let indexed: Vec<Vec<u8>> = live.command(redis::cmd("HKEYS").arg(names.index())).await?;
    let indexed = indexed.into_iter().filter_map(|name| String::from_utf8(name).ok());
    let wanted = |name: &String| names::document(name).is_some_and(|document| kinds.contains(&document.kind));
    keys.extend(indexed.filter(wanted).map(|name| names.key(&name)));
    let keys: Vec<String> = keys.into_iter().collect();
    read_keys(live, scripts, names, &keys, &mut found).await?;
    let after = revision(live, scripts).await?;
    Ok((found, after))
}

/// One step of a scan.
pub(super) async fn scan(
    live: &mut Live,
    names: &Names,
    kind: DocumentKind,
    cursor: u64,
) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
    let mut command = redis::cmd("SCAN");
    command.arg(cursor).arg("MATCH").arg(names.pattern(kind)).arg("COUNT").arg(SCAN_STEP);
    live.command(&command).await
}

/// Reads the documents at these keys, those that are there.
pub(super) async fn read_keys(
    live: &mut Live,
    scripts: &Scripts,
    names: &Names,
    keys: &[String],
    found: &mut BTreeMap<DocumentKey, Stored>,
) -> Result<(), StoreError> {
    let mut rest = keys;
    while !rest.is_empty() {
        let chunk = &rest[..rest.len().min(CHUNK)];
        let (_, _, done, documents): Answer = live.script(&scripts.read(live, Wanted::Texts, chunk)).await?;
        for (key, answer) in chunk.iter().zip(documents) {
            let document = key.strip_prefix(names.prefix()).and_then(names::document);
            if let Some((document, (state, revision, text))) = document.zip(answer) {
                let text = text_of(&state, text);
                found.insert(document.clone(), Stored { document, text, revision });
            }
        }
        // It does at least one; a server that says otherwise must not hold us here for ever.
        rest = &rest[done.clamp(1, chunk.len())..];
    }
    Ok(())
}

/// The revision of the whole.
pub(super) async fn revision(live: &mut Live, scripts: &Scripts) -> Result<WorldRevision, StoreError> {
    let (epoch, number, _, _): Answer = live.script(&scripts.read(live, Wanted::Texts, &[])).await?;
    Ok(WorldRevision { epoch: epoch.into(), number })
}

/// What cannot be read becomes a text that says why and that nobody can take for a document.
fn text_of(state: &str, text: Vec<u8>) -> Arc<str> {
    let detail = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match state {
        "text" => match String::from_utf8(text) {
            Ok(text) => text.into(),
            Err(_) => unreadable("the text is not UTF-8"),
        },
        "long" => {
            unreadable(&format!("the document is {} bytes long; at most {MAX_DOCUMENT_BYTES} are read", detail(&text)))
        }
        "type" => unreadable(&format!("its key in Redis is a {}, not a hash", detail(&text))),
        _ => unreadable("its hash in Redis lacks the field of its text"),
    }
}

/// A key that is not UTF-8 cannot be named, only shown.
fn strange_name(names: &Names, kind: DocumentKind, key: &[u8]) -> Stored {
    let from = names.prefix().len() + kind.as_str().len() + 1;
    let key = String::from_utf8_lossy(key.get(from..).unwrap_or_default()).into_owned();
    let text = unreadable("its key in Redis is not UTF-8");
    Stored { document: DocumentKey { kind, key: key.into() }, text, revision: 0 }
}
