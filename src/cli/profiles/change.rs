//! `flaggate profiles put`, `set` and `delete`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;
use reqwest::Method;

use super::{parts, path, send};
use crate::cli::{confirm_deletion, flags::values::file, remote::Remote};

/// A whole profile.
#[derive(Debug, Args)]
pub(in crate::cli) struct Put {
    #[command(flatten)]
    remote: Remote,
    /// The user's id.
    user: String,
    /// `field=value` of the attributes, or `behavioral_data.field=value`; a value that is JSON counts as such.
    #[arg(value_name = "FIELD=VALUE", required_unless_present = "file")]
    fields: Vec<String>,
    /// The profile from a file, JSON or YAML, as `get --json` prints it; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "fields")]
    file: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// New values of fields.
#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    remote: Remote,
    /// The user's id.
    user: String,
    /// `field=value` of the attributes, or `behavioral_data.field=value`; a value that is JSON counts as such, null removes
    /// the field.
    #[arg(value_name = "FIELD=VALUE", required = true)]
    fields: Vec<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Forgets a user.
#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    remote: Remote,
    /// The user's id.
    user: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Put {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let profile = match &self.file {
            Some(path) => file(path)?,
            None => parts(&self.fields)?,
        };
        let said = format!("the profile of {:?} is written", self.user);
        send(&self.remote, Method::PUT, path(&self.user, "")?, Some(profile.into()), self.json, &said)
    }
}

impl Set {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let said = format!("the profile of {:?} is changed", self.user);
        let changes = parts(&self.fields)?.into();
        send(&self.remote, Method::PATCH, path(&self.user, "")?, Some(changes), self.json, &said)
    }
}

impl Delete {
    pub(super) fn run(&self) -> Result<ExitCode> {
        if !self.yes {
            confirm_deletion(&format!("all that is stored of {:?}", self.user))?;
        }
        let said = format!("nothing is stored of {:?} any more", self.user);
        send(&self.remote, Method::DELETE, path(&self.user, "")?, None, self.json, &said)
    }
}
