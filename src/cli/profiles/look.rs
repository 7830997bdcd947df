//! `flaggate profiles list` and `get`.

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

/// Which profiles are listed.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    remote: Remote,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print the profiles as JSON, one on each line, as `import` takes them.
    #[arg(long)]
    json: bool,
}

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

impl List {
    pub(super) fn run(&self) -> Result<ExitCode> {
        const PAGE: u32 = 1000;
        let mut left = self.limit.unwrap_or(u32::MAX);
        let mut cursor = String::new();
        loop {
            let path = format!("/profiles?limit={}{cursor}", left.min(PAGE));
            let page = self.remote.exchange(&Request { path, ..Request::default() })?.body;
            for profile in page["profiles"].as_array().into_iter().flatten().take(left as usize) {
                say(&if self.json { profile.to_string() } else { text(&profile["user_id"]) })?;
                left -= 1;
            }
            match page["next"].as_str() {
                Some(next) if left > 0 => cursor = format!("&cursor={next}"),
                _ => return Ok(ExitCode::SUCCESS),
            }
        }
    }
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
