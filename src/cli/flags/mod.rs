//! `flaggate flags`: looking at flags and changing them, through the admin API.

mod change;
mod create;
mod history;
mod look;
mod set;
pub(super) mod values;

pub(super) use history::lines as history_lines;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

use super::{
    failure::{Failure, Kind},
    remote::{Answer, Remote, Request},
};

/// What stands for itself in a path.
pub(super) const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

#[derive(Debug, Subcommand)]
pub(super) enum Flags {
    /// List flags by key; with options, those that are asked for.
    List(look::List),
    /// Show one flag.
    Get(look::Get),
    /// Create a flag, from options or from a file.
    Create(create::Create),
    /// Change fields of a flag: `set KEY field=value …`, or --file.
    Set(set::Set),
    /// Turn a flag on.
    On(set::Switch),
    /// Turn a flag off: everybody gets its default, or its off variant.
    Off(set::Switch),
    /// Give a flag to a share of the users: `rollout KEY 25%`.
    Rollout(set::Rollout),
    /// Remove a flag; asks first.
    Delete(change::Delete),
    /// Show what happened to a flag, newest first; also to one that is gone.
    History(history::History),
    /// Make a flag again what it was at an earlier revision; brings back one that is gone.
    Rollback(history::Rollback),
}

impl Flags {
    pub(super) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Get(get) => get.run(),
            Self::Create(create) => create.run(),
            Self::Set(set) => set.run(),
            Self::On(switch) => switch.run(true),
            Self::Off(switch) => switch.run(false),
            Self::Rollout(rollout) => rollout.run(),
            Self::Delete(delete) => delete.run(),
            Self::History(history) => history.run(),
            Self::Rollback(rollback) => rollback.run(),
        }
    }
}

/// The path of a flag, and of what is below it.
fn path(key: &str, below: &str) -> String {
    format!("/flags/{}{below}", utf8_percent_encode(key, IN_PATH))
}

/// The answer to a request about the flag `key`. If there is none, the failure names one that is called alike.
fn ask(remote: &Remote, key: &str, request: &Request<'_>) -> Result<Answer> {
    remote.exchange(request).map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) if failure.kind == Kind::NotFound && failure.hint.is_none() => {
            failure.hinting(alike(remote, key)).into()
        }
        Ok(failure) => failure.into(),
        Err(error) => error,
    })
}

/// What to try when there is no flag of this key.
fn alike(remote: &Remote, key: &str) -> String {
    let all = pages(remote, "", usize::MAX).map(|(flags, _)| flags).unwrap_or_default();
    let keys = || all.iter().filter_map(|flag| flag["key"].as_str());
    if keys().any(|known| known == key) {
        return format!("`flaggate flags history {key}` shows its revisions");
    }
    let scored = keys().map(|known| (strsim::jaro_winkler(key, known), known));
    match scored.max_by(|left, right| left.0.total_cmp(&right.0)).filter(|(score, _)| *score > 0.75) {
        Some((_, known)) => format!("did you mean {known:?}?"),
        None => "`flaggate flags list` shows all flags".to_owned(),
    }
}

/// Up to `limit` flags that a query asks for, read page by page, and how many there are.
fn pages(remote: &Remote, query: &str, limit: usize) -> Result<(Vec<Value>, usize)> {
    const PAGE: usize = 1000;
    let mut flags = Vec::new();
    let mut next = Some(format!("/flags?limit={}{query}", limit.min(PAGE)));
    let mut total = 0;
    while let Some(path) = next.take().filter(|_| flags.len() < limit) {
        let answer = remote.exchange(&Request { method: Method::GET, path, ..Request::default() })?;
        total = answer.header("x-total-count").and_then(|total| total.parse().ok()).unwrap_or_default();
        next = answer.header("link").and_then(|link| Some(link.strip_prefix('<')?.split_once('>')?.0.to_owned()));
        if let Value::Array(page) = answer.body {
            flags.extend(page);
        }
    }
    flags.truncate(limit);
    Ok((flags, total))
}

/// The revision in an entity tag.
pub(super) fn revision(answer: &Answer) -> Option<&str> {
    answer.header("etag")?.strip_prefix("\"r")?.split('-').next()
}
