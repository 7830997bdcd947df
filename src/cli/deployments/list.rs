//! `flaggate deployments list`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::show::stages_of;
use crate::cli::{
    documents::{Noun, list},
    remote::Remote,
    table::{Table, text},
};

/// Which deployments are listed.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    remote: Remote,
    /// Only those in this state, or in one of several; live: those that were started and have not ended.
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print the documents as a JSON array.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.states.iter().map(|state| ("state", state)));
        list(&self.remote, Noun::DEPLOYMENT, &query.finish(), self.limit, self.json, |all| table(all).to_string())
    }
}

fn table(deployments: &[Value]) -> Table<5> {
    let mut table = Table::new(["ID", "VERSION", "STATE", "STAGES", "WAITS ON"]);
    for deployment in deployments {
        let status = &deployment["status"];
        let stages = stages_of(deployment);
        let done = stages.iter().filter(|stage| stage["state"] == "completed").count();
        table.push([
            text(&deployment["id"]),
            text(&deployment["version"]),
            text(&status["state"]),
            format!("{done} of {}", stages.len()),
            text(&status["waiting_on"][0]),
        ]);
    }
    table
}
