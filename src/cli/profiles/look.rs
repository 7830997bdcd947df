//! `flaggate profiles get`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::path;
use crate::cli::{
    remote::{Remote, Request},
    say,
    table::{plain, text},
};

/// One user.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    #[command(flatten)]
    remote: Remote,
    /// The user's id.
    user: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Get {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let request = Request { method: Method::GET, path: path(&self.user, "")?, ..Request::default() };
        let profile = self.remote.exchange(&request)?.body;
        say(&if self.json { serde_json::to_string_pretty(&profile)? } else { shown(&profile) })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A field on each line; those of parts below their part.
fn shown(profile: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in profile.as_object().into_iter().flatten() {
        match value {
            Value::Object(fields) => {
                lines.push(name.clone());
                lines.extend(fields.iter().map(|(name, value)| format!("  {:<22}  {}", plain(name), text(value))));
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(text).collect();
                lines.push(format!("{name:<24}  {}", items.join(", ")));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                lines.push(format!("{name:<24}  {}", text(value)));
            }
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}
