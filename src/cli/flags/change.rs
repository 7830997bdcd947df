//! What all changes have in common, and `flaggate flags delete`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::{Method, StatusCode, header::HeaderName};
use serde_json::Value;

use super::{ask, history::differences, path, revision};
use crate::cli::{
    confirm_deletion,
    failure::{Failure, Kind},
    remote::{Answer, Remote, Request},
    say,
};

/// How a change is made.
#[derive(Debug, Args)]
pub(in crate::cli) struct Changing {
    #[command(flatten)]
    pub(super) remote: Remote,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Wait until all gateways, or so many, serve it.
    #[arg(long, value_name = "all|NUMBER")]
    wait: Option<String>,
    /// For how many seconds to wait at most.
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<f64>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Removes a flag.
#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    changing: Changing,
    /// The flag.
    key: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

impl Changing {
    /// Sends a change of the flag `key` and says what became of it.
    pub(super) fn send(
        &self,
        method: Method,
        key: &str,
        path: &str,
        headers: &[(HeaderName, String)],
        body: Option<Value>,
    ) -> Result<ExitCode> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.dry_run {
            query.append_pair("dry_run", "true");
        }
        query.extend_pairs(self.wait.iter().map(|wait| ("wait", wait)));
        query.extend_pairs(self.timeout.iter().map(|timeout| ("timeout", timeout.to_string())));
        let query = query.finish();
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let answer = ask(&self.remote, key, &Request { method, path, headers, body })?;
        if self.json {
            say(&serde_json::to_string_pretty(&answer.body)?)?;
        } else if self.dry_run {
            say(&tried(key, &answer.body))?;
        } else {
            say(&done(key, &answer))?;
        }
        if answer.status == StatusCode::ACCEPTED {
            let what = "the change is done, but not all gateways that were waited for serve it yet";
            return Err(Failure::new(Kind::NotServedYet, what).hinting("`flaggate status` tells who lags").into());
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Delete {
    pub(super) fn run(&self) -> Result<ExitCode> {
        if !self.yes && !self.changing.dry_run {
            confirm_deletion(&format!("the flag {:?}", self.key))?;
        }
        self.changing.send(Method::DELETE, &self.key, &path(&self.key, ""), &[], None)
    }
}

/// `a is at revision 7, served by 2 of 2 gateways after 3.1 ms`.
fn done(key: &str, answer: &Answer) -> String {
    let now = match revision(answer) {
        Some(revision) => format!("{key} is at revision {revision}"),
        None => format!("{key} is deleted; `flaggate flags history {key}` still knows it"),
    };
    match (&answer.body["acknowledged"], &answer.body["of"], &answer.body["ms"]) {
        (Value::Null, _, _) => now,
        (acknowledged, of, ms) => format!("{now}, served by {acknowledged} of {of} gateways after {ms} ms"),
    }
}

fn tried(key: &str, answer: &Value) -> String {
    let head = match answer["action"].as_str() {
        Some("none") => return format!("{key} would stay as it is"),
        action => format!("{key} would be {}", action.unwrap_or("changed")),
    };
    std::iter::once(head).chain(differences(&answer["changes"])).collect::<Vec<_>>().join("\n")
}
