//! What a person tells a deployment.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::cli::{
    documents::{Noun, ask, file},
    failure::{Failure, Kind},
    remote::{Remote, Request},
    say,
    table::text,
};

/// Which deployment is told something, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct Plain {
    #[command(flatten)]
    remote: Remote,
    /// Which one.
    id: String,
    /// Only show what would become of it.
    #[arg(long)]
    dry_run: bool,
    /// Wait until all gateways, or so many, know it.
    #[arg(long, value_name = "all|NUMBER")]
    wait: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// The same with a reason.
#[derive(Debug, Args)]
pub(in crate::cli) struct WithReason {
    #[command(flatten)]
    plain: Plain,
    /// Why; others will want to know.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The same, a step or all of them.
#[derive(Debug, Args)]
pub(in crate::cli) struct Promote {
    #[command(flatten)]
    plain: Plain,
    /// Send everybody to the new side now.
    #[arg(long)]
    full: bool,
}

/// The same for a gate.
#[derive(Debug, Args)]
pub(in crate::cli) struct Approve {
    #[command(flatten)]
    plain: Plain,
    /// The stage; the one that waits for this approver unless it is named.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// In whose name, if not one's own; only an admin can.
    #[arg(long = "as", value_name = "NAME")]
    approver: Option<String>,
}

/// A new deployment.
#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    remote: Remote,
    /// The document, JSON or YAML; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Start it as well.
    #[arg(long)]
    start: bool,
    /// Only check it.
    #[arg(long, conflicts_with = "start")]
    dry_run: bool,
}

impl Plain {
    pub(super) fn run(&self, verb: &str) -> Result<ExitCode> {
        self.tell(verb, None)
    }

    fn tell(&self, verb: &str, body: Option<Value>) -> Result<ExitCode> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.dry_run {
            query.append_pair("dry_run", "true");
        }
        query.extend_pairs(self.wait.iter().map(|wait| ("wait", wait)));
        let (query, path) = (query.finish(), Noun::DEPLOYMENT.path(&self.id, &format!("/{verb}")));
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        let request = Request { method: Method::POST, path, body, ..Request::default() };
        let answer = ask(&self.remote, Noun::DEPLOYMENT, &self.id, &request)?;
        if self.json {
            say(&serde_json::to_string_pretty(&answer.body)?)?;
        } else {
            let is = if self.dry_run { "would be" } else { "is" };
            say(&format!("{} {is} {}", self.id, text(&answer.body["state"])))?;
        }
        if answer.status == StatusCode::ACCEPTED {
            let what = "it is done, but not all gateways that were waited for know it yet";
            return Err(Failure::new(Kind::NotServedYet, what).hinting("`flaggate status` tells who lags").into());
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl WithReason {
    pub(super) fn run(&self, verb: &str) -> Result<ExitCode> {
        self.plain.tell(verb, self.reason.as_ref().map(|reason| json!({ "reason": reason })))
    }
}

impl Promote {
    pub(super) fn run(&self) -> Result<ExitCode> {
        self.plain.tell(if self.full { "promote_full" } else { "promote" }, None)
    }
}

impl Approve {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let mut body = Map::new();
        body.extend(self.stage.as_ref().map(|stage| ("stage".to_owned(), stage.as_str().into())));
        body.extend(self.approver.as_ref().map(|name| ("approver".to_owned(), name.as_str().into())));
        self.plain.tell("approve", Some(body.into()))
    }
}

impl Create {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let document = file(&self.file)?;
        let Some(id) = document.get("id").and_then(Value::as_str).map(str::to_owned) else {
            bail!("{} has no id", self.file.display());
        };
        let path = if self.dry_run { "/deployments?dry_run=true" } else { "/deployments" };
        let body = Some(document.into());
        let request = Request { method: Method::POST, path: path.to_owned(), body, ..Request::default() };
        self.remote.exchange(&request)?;
        say(&format!("{id} {}", if self.dry_run { "can be created" } else { "is created" }))?;
        if self.start {
            let path = Noun::DEPLOYMENT.path(&id, "/start");
            let request = Request { method: Method::POST, path, ..Request::default() };
            let answer = self.remote.exchange(&request)?;
            say(&format!("{id} is {}", text(&answer.body["state"])))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
