//! `flaggate flags set`, and its short forms `on`, `off` and `rollout`.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::{
    Method,
    header::{HeaderName, IF_MATCH},
};
use serde_json::{Map, Number, Value, json};

use super::{
    change::Changing,
    given::{Changes, Given},
    path,
};
use crate::cli::failure::{Failure, Kind};

/// How often a change below a field is made anew when somebody else was faster.
const TRIES: usize = 10;

/// New values of fields.
#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    given: Given,
    /// Only if the flag still has this ETag.
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

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

impl Set {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let changes = self.given.read()?;
        let own: Vec<_> = self.if_match.iter().map(|tag| (IF_MATCH, tag.clone())).collect();
        if self.given.replace {
            return self.send(Method::PUT, &own, changes.fields);
        }
        if changes.go_below() {
            return self.below(&changes);
        }
        self.send(Method::PATCH, &own, changes.of(Map::new())?)
    }

    /// Changes what is below fields: reads them, and writes them if nobody else did meanwhile.
    fn below(&self, changes: &Changes) -> Result<ExitCode> {
        for tried in 1.. {
            let (document, answer) = self.given.current(&self.changing.remote)?;
            let tag = self.if_match.clone().or_else(|| answer.header("etag").map(str::to_owned));
            let headers: Vec<_> = tag.into_iter().map(|tag| (IF_MATCH, tag)).collect();
            match self.send(Method::PATCH, &headers, changes.of(document)?) {
                Err(error) if tried < TRIES && self.if_match.is_none() && is_conflict(&error) => {}
                sent => return sent,
            }
        }
        bail!("others change this flag all the time")
    }

    fn send(&self, method: Method, headers: &[(HeaderName, String)], fields: Map<String, Value>) -> Result<ExitCode> {
        let key = &self.given.key;
        self.changing.send(method, key, &path(key, ""), headers, Some(fields.into()))
    }
}

fn is_conflict(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.kind == Kind::Conflict)
}

impl Switch {
    pub(super) fn run(&self, on: bool) -> Result<ExitCode> {
        let body = json!({ "enabled": on });
        self.changing.send(Method::PATCH, &self.key, &path(&self.key, ""), &[], Some(body))
    }
}

impl Rollout {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let body = json!({ "rollout_enabled": true, "rollout_percentage": self.percentage.0 });
        self.changing.send(Method::PATCH, &self.key, &path(&self.key, ""), &[], Some(body))
    }
}

/// `25%`, `25` or `0.5`.
fn percentage(text: &str) -> Result<Percentage> {
    let number: Option<Number> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let number = number.filter(|number| number.as_f64().is_some_and(|number| (0.0..=100.0).contains(&number)));
    number.map(Percentage).context("expected a percentage from 0% to 100%")
}
