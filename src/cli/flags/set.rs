//! `flaggate flags set`, and its short forms `on`, `off` and `rollout`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::{
    Method,
    header::{HeaderName, IF_MATCH},
};
use serde_json::{Map, Number, Value, json};

use super::{
    ask,
    change::Changing,
    path,
    values::{Assignment, file},
};
use crate::cli::{
    failure::{Failure, Kind},
    remote::Request,
};

/// How often a change below a field is made anew when somebody else was faster.
const TRIES: usize = 10;

/// New values of fields.
#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    changing: Changing,
    /// The flag.
    key: String,
    /// `field=value`, or `field.below.0=value`; a value that is JSON counts as such, null resets the field.
    #[arg(value_name = "FIELD=VALUE", required_unless_present = "file")]
    fields: Vec<String>,
    /// Fields from a file, JSON or YAML; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file is the whole document: what it does not name is reset, and a flag that is not there is created.
    #[arg(long, requires = "file", conflicts_with = "fields")]
    replace: bool,
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
        let mut fields = self.file.as_deref().map(file).transpose()?.unwrap_or_default();
        let assignments = self.fields.iter().map(|given| Assignment::parse(given)).collect::<Result<Vec<_>>>()?;
        let own: Vec<_> = self.if_match.iter().map(|tag| (IF_MATCH, tag.clone())).collect();
        if self.replace {
            return self.changing.send(Method::PUT, &self.key, &path(&self.key, ""), &own, Some(fields.into()));
        }
        if assignments.iter().all(|assignment| assignment.steps.len() == 1) {
            for assignment in &assignments {
                assignment.apply(&mut fields)?;
            }
            return self.send(&own, fields);
        }
        self.below(&fields, &assignments)
    }

    /// Changes what is below fields: reads them, and writes them if nobody else did meanwhile.
    fn below(&self, given: &Map<String, Value>, assignments: &[Assignment]) -> Result<ExitCode> {
        for tried in 1.. {
            let request = Request { method: Method::GET, path: path(&self.key, ""), ..Request::default() };
            let answer = ask(&self.changing.remote, &self.key, &request)?;
            let tag = self.if_match.clone().or_else(|| answer.header("etag").map(str::to_owned));
            let Value::Object(mut document) = answer.body else { bail!("the gateway's answer is not a flag") };
            document.extend(given.clone());
            for assignment in assignments {
                assignment.apply(&mut document)?;
            }
            let changed = |name: &String| {
                given.contains_key(name) || assignments.iter().any(|assignment| assignment.steps.first() == Some(name))
            };
            document.retain(|name, _| changed(name));
            let headers: Vec<_> = tag.into_iter().map(|tag| (IF_MATCH, tag)).collect();
            match self.send(&headers, document) {
                Err(error) if tried < TRIES && self.if_match.is_none() && is_conflict(&error) => {}
                sent => return sent,
            }
        }
        bail!("others change this flag all the time")
    }

    fn send(&self, headers: &[(HeaderName, String)], fields: Map<String, Value>) -> Result<ExitCode> {
        self.changing.send(Method::PATCH, &self.key, &path(&self.key, ""), headers, Some(fields.into()))
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
