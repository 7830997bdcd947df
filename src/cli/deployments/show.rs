//! `flaggate deployments get`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::cli::{
    documents::{Noun, ask},
    remote::{Remote, Request},
    say,
    table::{Table, plain, text},
};

/// One deployment.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    #[command(flatten)]
    remote: Remote,
    /// Which one.
    id: String,
    /// Print the whole document as JSON.
    #[arg(long)]
    json: bool,
}

impl Get {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let document = read(&self.remote, &self.id)?;
        if self.json {
            say(&serde_json::to_string_pretty(&document)?)?;
        } else {
            say(&shown(&document))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A deployment, as it is now.
pub(super) fn read(remote: &Remote, id: &str) -> Result<Value> {
    let request = Request { method: Method::GET, path: Noun::DEPLOYMENT.path(id, ""), ..Request::default() };
    Ok(ask(remote, Noun::DEPLOYMENT, id, &request)?.body)
}

/// How far a deployment is, for people.
pub(super) fn shown(document: &Value) -> String {
    let status = &document["status"];
    let version = document["version"].as_str().map_or(String::new(), |version| format!(" {}", plain(version)));
    let why = status["reason"].as_str().map_or(String::new(), |why| format!(": {}", plain(why)));
    let mut lines = vec![format!("{}{version} is {}{why}", text(&document["id"]), text(&status["state"]))];
    lines.push(stages(document).to_string());
    let waits = status["waiting_on"].as_array().into_iter().flatten();
    lines.extend(waits.map(|what| format!("waits on {}", text(what))));
    lines.join("\n")
}

fn stages(document: &Value) -> Table<5> {
    let mut table = Table::new(["STAGE", "STRATEGY", "STATE", "STEP", "VERDICT"]);
    let run = document["status"]["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    for stage in document["stages"].as_array().into_iter().flatten() {
        let state = run.iter().find(|state| state["name"] == stage["name"]).unwrap_or(&Value::Null);
        let none = Value::from("pending");
        let doing = state["doing"].as_str().map_or_else(|| "-".to_owned(), plain);
        table.push([
            text(&stage["name"]),
            text(&stage["strategy"]),
            text(if state["state"].is_null() { &none } else { &state["state"] }),
            doing,
            text(&state["verdict"]["sentence"]),
        ]);
    }
    table
}
