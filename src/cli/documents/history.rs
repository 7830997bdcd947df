//! `history` and `rollback`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::{Method, header::IF_MATCH};
use serde_json::{Value, json};

use super::{Noun, ask, change::Changing};
use crate::cli::{
    remote::{Remote, Request},
    say,
    table::{plain, text},
};

/// How much of a value is shown.
const LONGEST: usize = 200;

/// What happened to a document.
#[derive(Debug, Args)]
pub(in crate::cli) struct History {
    #[command(flatten)]
    remote: Remote,
    /// Which one.
    key: String,
    /// At most so many changes.
    #[arg(long, value_name = "NUMBER", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON; with --full the document after each change, too.
    #[arg(long)]
    json: bool,
    /// Have the whole documents in --json.
    #[arg(long, requires = "json")]
    full: bool,
}

/// Goes back to an earlier revision.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    changing: Changing,
    /// Which one.
    key: String,
    /// The revision, as the history shows it.
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    revision: u64,
    /// Only if it still has this ETag.
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

impl History {
    pub(in crate::cli) fn run(&self, noun: Noun) -> Result<ExitCode> {
        let below = format!("/history?limit={}&full={}", self.limit, self.full);
        let request = Request { method: Method::GET, path: noun.path(&self.key, &below), ..Request::default() };
        let answer = ask(&self.remote, noun, &self.key, &request)?.body;
        if self.json {
            say(&serde_json::to_string_pretty(&answer)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        lines(&answer, self.limit, true)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the entries of a history; with `changes` what changed in each.
pub(in crate::cli) fn lines(answer: &Value, limit: u32, changes: bool) -> Result<()> {
    for entry in answer["entries"].as_array().into_iter().flatten() {
        let [revision, action, actor] = ["revision", "action", "actor"].map(|name| text(&entry[name]));
        say(&format!("{revision:>4}  {}  {action} by {actor}", time(&entry["at"])))?;
        // All of a document that came or went would hide what matters.
        if changes && entry["action"] == "updated" {
            for line in differences(&entry["changes"]) {
                say(&format!("      {line}"))?;
            }
        }
    }
    if !answer["next"].is_null() {
        say(&format!("older changes are not shown; --limit {} shows more", (limit * 5).min(1000)))?;
    }
    Ok(())
}

impl Rollback {
    pub(in crate::cli) fn run(&self, noun: Noun) -> Result<ExitCode> {
        let headers: Vec<_> = self.if_match.iter().map(|tag| (IF_MATCH, tag.clone())).collect();
        let body = json!({ "revision": self.revision });
        self.changing.send(noun, Method::POST, &self.key, &noun.path(&self.key, "/rollback"), &headers, Some(body))
    }
}

/// A time to the second.
pub(in crate::cli) fn time(at: &Value) -> String {
    text(at).chars().take(19).collect::<String>().replace('T', " ") + "Z"
}

/// What fits on a few lines of a terminal; --json has all of it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A line for each place that changed: `~ /rollout_percentage: 10 → 50`.
pub(super) fn differences(changes: &Value) -> Vec<String> {
    let Some(changes) = changes.as_array() else { return vec!["what changed is not known".to_owned()] };
    let line = |change: &Value| {
        let pointer = plain(change["pointer"].as_str().unwrap_or_default());
        let value = |name: &str| change.get(name).map(|value| shortened(&plain(&value.to_string())));
        match (value("before"), value("after")) {
            (Some(before), Some(after)) => format!("~ {pointer}: {before} → {after}"),
            (None, Some(after)) => format!("+ {pointer}: {after}"),
            (Some(before), None) => format!("- {pointer}: {before}"),
            (None, None) => format!("? {pointer}"),
        }
    };
    changes.iter().map(line).collect()
}
