//! `flaggate models list`, `get` and `history`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::path;
use crate::cli::{
    documents::history_lines,
    remote::Remote,
    say,
    table::{Table, plain, text},
};

/// All models.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    remote: Remote,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One model.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    #[command(flatten)]
    remote: Remote,
    /// The model.
    id: String,
    /// Print its document as JSON.
    #[arg(long)]
    json: bool,
}

/// What happened to a model.
#[derive(Debug, Args)]
pub(in crate::cli) struct History {
    #[command(flatten)]
    remote: Remote,
    /// The model.
    id: String,
    /// At most so many changes.
    #[arg(long, value_name = "NUMBER", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let answer = self.remote.ask(&Method::GET, "/models")?;
        if self.json {
            say(&serde_json::to_string_pretty(&answer)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(["ID", "REVISION", "KIND", "FEATURES", "ROWS", "RESULT", "SERVING", "SEGMENTS"]);
        for model in answer["models"].as_array().into_iter().flatten() {
            let cell = |name: &str| text(&model[name]);
            let serving = if model["serving"] == true { "yes" } else { "no: see `flaggate status`" };
            table.push([
                cell("id"),
                cell("revision"),
                cell("kind"),
                names(&model["feature_columns"]),
                text(&model["report"]["rows"]),
                result(&model["report"]),
                serving.to_owned(),
                names(&model["segments"]),
            ]);
        }
        say(&table.to_string())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Get {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let answer = self.remote.ask(&Method::GET, &path(&self.id, "")?)?;
        if self.json {
            say(&serde_json::to_string_pretty(&answer)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        for (name, value) in answer.as_object().into_iter().flatten() {
            let shown = match (name.as_str(), value) {
                ("onnx", Value::String(network)) => format!("{} characters; --json prints them", network.len()),
                _ => text(value),
            };
            say(&format!("{:<18}{shown}", plain(name)))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl History {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let below = format!("/history?limit={}", self.limit);
        let answer = self.remote.ask(&Method::GET, &path(&self.id, &below)?)?;
        if self.json {
            say(&serde_json::to_string_pretty(&answer)?)?;
        } else {
            history_lines(&answer, self.limit, false)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Names with commas between them.
fn names(value: &Value) -> String {
    let names: Vec<String> = value.as_array().into_iter().flatten().map(text).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

/// The figure of a report that says most.
pub(super) fn result(report: &Value) -> String {
    let rounded = |name: &str| report[name].as_f64().map(|number| format!("{number:.3}"));
    match (rounded("auc"), rounded("held_back_inertia_per_row")) {
        (Some(auc), _) => format!("AUC {auc}"),
        (None, Some(inertia)) => format!("inertia {inertia}"),
        (None, None) => "-".to_owned(),
    }
}
