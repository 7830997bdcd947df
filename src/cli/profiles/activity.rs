//! `flaggate profiles activity`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value};

use super::{assignment, path, send};
use crate::cli::remote::Remote;

/// What a user is doing.
#[derive(Debug, Args)]
pub(in crate::cli) struct Activity {
    #[command(flatten)]
    remote: Remote,
    /// The user's id.
    user: String,
    /// What flags see as `activity.field`, all of it; a value that is JSON counts as such.
    #[arg(long, value_name = "FIELD=VALUE", num_args = 1.., required_unless_present = "clear")]
    set: Vec<String>,
    /// For how many seconds it counts; 600 unless given.
    #[arg(long, value_name = "SECONDS", requires = "set")]
    ttl: Option<u32>,
    /// The user is doing nothing any more.
    #[arg(long, conflicts_with = "set")]
    clear: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Activity {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let path = path(&self.user, "/activity")?;
        if self.clear {
            let said = format!("{:?} is doing nothing any more", self.user);
            return send(&self.remote, Method::DELETE, path, None, self.json, &said);
        }
        let mut activity = Map::new();
        for given in &self.set {
            let (name, value) = assignment(given)?;
            activity.insert(name.to_owned(), value);
        }
        if let Some(ttl) = self.ttl {
            activity.insert("ttl_seconds".to_owned(), ttl.into());
        }
        let said = format!("the activity of {:?} is noted", self.user);
        send(&self.remote, Method::POST, path, Some(Value::Object(activity)), self.json, &said)
    }
}
