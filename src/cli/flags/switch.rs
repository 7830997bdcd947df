//! `flaggate flags on`, `off` and `rollout`: short forms of `set`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use reqwest::Method;
use serde_json::{Number, json};

use crate::cli::documents::{Changing, Noun};

/// On or off.
#[derive(Debug, Args)]
pub(in crate::cli) struct Switch {
    #[command(flatten)]
    changing: Changing,
    /// The flag.
    key: String,
}

/// A share of the users.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rollout {
    #[command(flatten)]
    changing: Changing,
    /// The flag.
    key: String,
    /// How many of the users get it, such as 25%.
    #[arg(value_name = "PERCENTAGE", value_parser = percentage)]
    percentage: Percentage,
}

/// A number from 0 to 100, as it was given.
#[derive(Clone, Debug)]
struct Percentage(Number);

impl Switch {
    pub(super) fn run(&self, on: bool) -> Result<ExitCode> {
        let body = json!({ "enabled": on });
        self.changing.send(Noun::FLAG, Method::PATCH, &self.key, &Noun::FLAG.path(&self.key, ""), &[], Some(body))
    }
}

impl Rollout {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let body = json!({ "rollout_enabled": true, "rollout_percentage": self.percentage.0 });
        self.changing.send(Noun::FLAG, Method::PATCH, &self.key, &Noun::FLAG.path(&self.key, ""), &[], Some(body))
    }
}

/// `25%`, `25` or `0.5`.
fn percentage(text: &str) -> Result<Percentage> {
    let number: Option<Number> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let number = number.filter(|number| number.as_f64().is_some_and(|number| (0.0..=100.0).contains(&number)));
    number.map(Percentage).context("expected a percentage from 0% to 100%")
}
