//! `flaggate check`: is a configuration right?

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};

use super::{log_error, say};
use crate::config::{Config, LoadError, json_schema};

/// Prints the JSON Schema of configurations.
pub(super) fn schema() -> Result<ExitCode> {
    say(&serde_json::to_string_pretty(&json_schema())?)?;
    Ok(ExitCode::SUCCESS)
}

/// Checks a file, and says what it sets up or everything that is wrong.
pub(super) fn file(path: &Path) -> Result<ExitCode> {
    let config = match Config::load(path, std::env::vars()) {
        Ok(config) => config,
        Err(LoadError::Config(wrong)) => {
            log_error(&format!("{} is not right", path.display()));
            let plain = wrong.to_string();
            let shown = format!("{:?}", miette::Report::new(*wrong));
            say(&plain)?;
            log_error(&shown);
            return Ok(ExitCode::FAILURE);
        }
        Err(error @ LoadError::Read { .. }) => return Err(error).context("nothing was checked"),
    };
    let endpoints: usize = config.upstreams.iter().map(|upstream| upstream.endpoints.len()).sum();
    let flags: BTreeSet<&str> = config.flags().collect();
    say(&format!(
        "{} is right: {} listener(s), {} route(s), {} upstream(s) with {endpoints} endpoint(s), {} flag(s) named by routes",
        path.display(),
        config.listeners.len(),
        config.routes.len(),
        config.upstreams.len(),
        flags.len(),
    ))?;
    Ok(ExitCode::SUCCESS)
}
