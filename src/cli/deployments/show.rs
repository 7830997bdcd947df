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

/// The stages that run, which are those of the document and those that copy requests before others; before it was started
/// those of the document.
pub(super) fn stages_of(document: &Value) -> &[Value] {
    let lists = [&document["status"]["stages"], &document["stages"]];
    lists.into_iter().filter_map(Value::as_array).find(|stages| !stages.is_empty()).map_or(&[], Vec::as_slice)
}

fn stages(document: &Value) -> Table<5> {
    let mut table = Table::new(["STAGE", "STRATEGY", "STATE", "STEP", "VERDICT"]);
    let written = document["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    for stage in stages_of(document) {
        let own = written.iter().find(|written| written["name"] == stage["name"]);
        table.push([
            text(&stage["name"]),
            own.map_or_else(|| "shadow".to_owned(), |own| text(&own["strategy"])),
            stage["state"].as_str().map_or_else(|| "pending".to_owned(), plain),
            stage["doing"].as_str().map_or_else(|| "-".to_owned(), plain),
            text(&stage["verdict"]["sentence"]),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stage_that_copies_first_is_shown() {
        let mut document = json!({ "id": "d", "stages": [{ "name": "p", "strategy": "progressive" }], "status": { "state": "pending" } });
        let rows = |document: &Value| {
            let shown = stages(document).to_string();
            shown.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(rows(&document), ["p progressive pending - -"]);
        document["status"]["stages"] = json!([{ "name": "p:shadow", "state": "in_progress", "doing": "compare 10m" }, { "name": "p", "state": "pending" }]);
        assert_eq!(rows(&document), ["p:shadow shadow in_progress compare 10m -", "p progressive pending - -"]);
    }
}
