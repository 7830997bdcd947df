//! `get`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::{Noun, ask, revision};
use crate::cli::{
    remote::{Remote, Request},
    say,
    table::text,
};

/// One document.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    #[command(flatten)]
    remote: Remote,
    /// Which one.
    key: String,
    /// Print the whole document as JSON.
    #[arg(long)]
    json: bool,
}

impl Get {
    pub(in crate::cli) fn run(&self, noun: Noun) -> Result<ExitCode> {
        let request = Request { method: Method::GET, path: noun.path(&self.key, ""), ..Request::default() };
        let answer = ask(&self.remote, noun, &self.key, &request)?;
        if self.json {
            say(&serde_json::to_string_pretty(&answer.body)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let fields = answer.body.as_object().into_iter().flatten();
        let is_set = |value: &Value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        };
        for (name, value) in fields.filter(|(_, value)| is_set(value)) {
            let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if !items.iter().any(Value::is_object) {
                say(&format!("{name:<18}  {}", text(value)))?;
                continue;
            }
            say(name)?;
            for item in items {
                say(&format!("  - {item}"))?;
            }
        }
        say(&format!("{:<18}  {}", "revision", revision(&answer).unwrap_or("-")))?;
        Ok(ExitCode::SUCCESS)
    }
}
