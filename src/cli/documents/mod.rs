//! What the commands for flags and segments have in common: each works on documents of one kind, through the admin API.

mod change;
mod get;
mod given;
mod history;
mod set;
mod values;

use std::process::ExitCode;

use anyhow::Result;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

use super::{
    failure::{Failure, Kind},
    log_error,
    remote::{Answer, Remote, Request},
    say,
};
use crate::model::nearest;

pub(super) use change::{Changing, Delete};
pub(super) use get::Get;
pub(super) use given::Given;
pub(super) use history::{History, Rollback, lines as history_lines, time};
pub(super) use set::Set;
pub(super) use values::{file, value};

/// What stands for itself in a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A kind of document, in the words of the command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noun {
    /// The command, and the beginning of paths.
    plural: &'static str,
    word: &'static str,
    /// The field that names a document.
    named_by: &'static str,
}

impl Noun {
    pub(super) const FLAG: Self = Self { plural: "flags", word: "flag", named_by: "key" };
    pub(super) const DEPLOYMENT: Self = Self { plural: "deployments", word: "deployment", named_by: "id" };
    pub(super) const SEGMENT: Self = Self { plural: "segments", word: "segment", named_by: "id" };

    /// The path of a document, and of what is below it.
    pub(super) fn path(self, key: &str, below: &str) -> String {
        format!("/{}/{}{below}", self.plural, in_path(key))
    }
}

/// A text as one step of a path.
pub(super) fn in_path(text: &str) -> String {
    utf8_percent_encode(text, IN_PATH).to_string()
}

/// The answer to a request about the document `key`. If there is none, the failure names one that is called alike.
pub(super) fn ask(remote: &Remote, noun: Noun, key: &str, request: &Request<'_>) -> Result<Answer> {
    remote.exchange(request).map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) if failure.kind == Kind::NotFound && failure.hint.is_none() => {
            failure.hinting(alike(remote, noun, key)).into()
        }
        Ok(failure) => failure.into(),
        Err(error) => error,
    })
}

/// What to try when there is no document of this key.
fn alike(remote: &Remote, noun: Noun, key: &str) -> String {
    let Noun { plural, named_by, .. } = noun;
    let all = pages(remote, noun, "", usize::MAX).map(|(all, _)| all).unwrap_or_default();
    let keys = || all.iter().filter_map(|document| document[named_by].as_str());
    if keys().any(|known| known == key) {
        return format!("`flaggate {plural} history {key}` shows its revisions");
    }
    match nearest(key, keys()) {
        Some(known) => format!("did you mean {known:?}?"),
        None => format!("`flaggate {plural} list` shows all {plural}"),
    }
}

/// Prints the documents that a query asks for, at most `limit`: as JSON, or in the table that is made of them.
pub(super) fn list(
    remote: &Remote,
    noun: Noun,
    query: &str,
    limit: Option<u32>,
    json: bool,
    table: impl FnOnce(&[Value]) -> String,
) -> Result<ExitCode> {
    let query = if query.is_empty() { String::new() } else { format!("&{query}") };
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (documents, total) = pages(remote, noun, &query, limit)?;
    if json {
        say(&serde_json::to_string_pretty(&documents)?)?;
    } else if documents.is_empty() {
        log_error(&format!("there are no such {}", noun.plural));
    } else {
        say(&table(&documents))?;
        if total > documents.len() {
            log_error(&format!("{} of {total} are shown; --limit shows more", documents.len()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Up to `limit` documents that a query asks for, read page by page, and how many there are.
fn pages(remote: &Remote, noun: Noun, query: &str, limit: usize) -> Result<(Vec<Value>, usize)> {
    const PAGE: usize = 1000;
    let mut documents = Vec::new();
    let mut next = Some(format!("/{}?limit={}{query}", noun.plural, limit.min(PAGE)));
    let mut total = 0;
    while let Some(path) = next.take().filter(|_| documents.len() < limit) {
        let answer = remote.exchange(&Request { method: Method::GET, path, ..Request::default() })?;
        total = answer.header("x-total-count").and_then(|total| total.parse().ok()).unwrap_or_default();
        next = answer.header("link").and_then(|link| Some(link.strip_prefix('<')?.split_once('>')?.0.to_owned()));
        if let Value::Array(page) = answer.body {
            documents.extend(page);
        }
    }
    documents.truncate(limit);
    Ok((documents, total))
}

/// The revision in an entity tag.
pub(super) fn revision(answer: &Answer) -> Option<&str> {
    answer.header("etag")?.strip_prefix("\"r")?.split('-').next()
}
