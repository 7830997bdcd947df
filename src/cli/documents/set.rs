//! `set`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;
use reqwest::{
    Method,
    header::{HeaderName, IF_MATCH},
};
use serde_json::{Map, Value};

use super::{
    Noun, ask,
    change::Changing,
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
    /// Which one.
    key: String,
    /// `field=value`, or `field.below.0=value`; a value that is JSON counts as such, null resets the field.
    #[arg(value_name = "FIELD=VALUE", required_unless_present = "file")]
    fields: Vec<String>,
    /// Fields from a file, JSON or YAML; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file is the whole document: what it does not name is reset, and one that is not there is created.
    #[arg(long, requires = "file", conflicts_with = "fields")]
    replace: bool,
    /// Only if it still has this ETag.
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

impl Set {
    pub(in crate::cli) fn run(&self, noun: Noun) -> Result<ExitCode> {
        let mut fields = self.file.as_deref().map(file).transpose()?.unwrap_or_default();
        let assignments = self.fields.iter().map(|given| Assignment::parse(given)).collect::<Result<Vec<_>>>()?;
        let own: Vec<_> = self.if_match.iter().map(|tag| (IF_MATCH, tag.clone())).collect();
        if self.replace {
            return self.changing.send(
                noun,
                Method::PUT,
                &self.key,
                &noun.path(&self.key, ""),
                &own,
                Some(fields.into()),
            );
        }
        if assignments.iter().all(|assignment| assignment.steps.len() == 1) {
            for assignment in &assignments {
                assignment.apply(&mut fields)?;
            }
            return self.send(noun, &own, fields);
        }
        self.below(noun, &fields, &assignments)
    }

    /// Changes what is below fields: reads them, and writes them if nobody else did meanwhile.
    fn below(&self, noun: Noun, given: &Map<String, Value>, assignments: &[Assignment]) -> Result<ExitCode> {
        for tried in 1.. {
            let request = Request { method: Method::GET, path: noun.path(&self.key, ""), ..Request::default() };
            let answer = ask(&self.changing.remote, noun, &self.key, &request)?;
            let tag = self.if_match.clone().or_else(|| answer.header("etag").map(str::to_owned));
            let Value::Object(mut document) = answer.body else { bail!("the gateway's answer is not a {}", noun.word) };
            document.extend(given.clone());
            for assignment in assignments {
                assignment.apply(&mut document)?;
            }
            let changed = |name: &String| {
                given.contains_key(name) || assignments.iter().any(|assignment| assignment.steps.first() == Some(name))
            };
            document.retain(|name, _| changed(name));
            let headers: Vec<_> = tag.into_iter().map(|tag| (IF_MATCH, tag)).collect();
            match self.send(noun, &headers, document) {
                Err(error) if tried < TRIES && self.if_match.is_none() && is_conflict(&error) => {}
                sent => return sent,
            }
        }
        bail!("others change this {} all the time", noun.word)
    }

    fn send(&self, noun: Noun, headers: &[(HeaderName, String)], fields: Map<String, Value>) -> Result<ExitCode> {
        self.changing.send(noun, Method::PATCH, &self.key, &noun.path(&self.key, ""), headers, Some(fields.into()))
    }
}

fn is_conflict(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.kind == Kind::Conflict)
}
