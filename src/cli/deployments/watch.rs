//! `flaggate deployments watch`.

use std::{process::ExitCode, thread::sleep, time::Duration};

use anyhow::Result;
use clap::Args;

use super::show::{read, shown};
use crate::cli::{remote::Remote, say};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);

/// One deployment, again and again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Watch {
    #[command(flatten)]
    remote: Remote,
    /// Which one.
    id: String,
    /// Print a document as JSON, a line each time.
    #[arg(long)]
    json: bool,
}

impl Watch {
    /// Ends when the deployment has: with 0 when it is completed, else with 1.
    pub(super) fn run(&self) -> Result<ExitCode> {
        let mut last = String::new();
        loop {
            let document = read(&self.remote, &self.id)?;
            let now = if self.json { document.to_string() } else { shown(&document) };
            if now != last {
                say(&if last.is_empty() || self.json { now.clone() } else { format!("\n{now}") })?;
                last = now;
            }
            match document["status"]["state"].as_str() {
                Some("completed") => return Ok(ExitCode::SUCCESS),
                Some("failed" | "rolled_back") => return Ok(ExitCode::FAILURE),
                Some(_) | None => sleep(EVERY),
            }
        }
    }
}
