//! `flaggate kill list`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::cli::{
    remote::Remote,
    say,
    table::{Table, plain, text},
};

/// Which kill switches are shown.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    remote: Remote,
    /// Those that kill nothing, too.
    #[arg(long)]
    inactive: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let query = if self.inactive { "" } else { "?state=active" };
        let switches = self.remote.ask(&Method::GET, &format!("/kill-switches{query}"))?;
        let none = switches.as_array().is_none_or(Vec::is_empty);
        if self.json {
            say(&serde_json::to_string_pretty(&switches)?)?;
        } else if none && self.inactive {
            say("there is no kill switch")?;
        } else if none {
            say("nothing is killed")?;
        } else {
            say(&table(&switches).to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(switches: &Value) -> Table<6> {
    let mut table = Table::new(["SWITCH", "STATE", "SINCE", "BY", "SCOPE", "REASON"]);
    for switch in switches.as_array().into_iter().flatten() {
        let status = &switch["status"];
        let mut state = text(&status["state"]);
        if let Some(percentage) = status["recovery"]["percentage"].as_f64() {
            state += &format!(" ({percentage} %)");
        }
        let mut scope = text(&switch["scope"]);
        if let Some(value) = switch["scope_value"].as_str() {
            scope += &format!(" {}", plain(value));
        }
        table.push([
            text(&switch["id"]),
            state,
            // To the second.
            text(&status["since"]).chars().take(19).collect::<String>().replace('T', " "),
            text(&status["by"]),
            scope,
            text(&status["reason"]),
        ]);
    }
    table
}
