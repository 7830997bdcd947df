//! `set`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use reqwest::{
    Method,
    header::{HeaderName, IF_MATCH},
};
use serde_json::{Map, Value};

use super::{
    Noun,
    change::Changing,
    given::{Changes, Given},
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
    /// Only if it still has this ETag.
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

impl Set {
    pub(in crate::cli) fn run(&self, noun: Noun) -> Result<ExitCode> {
        let changes = self.given.read()?;
        let own: Vec<_> = self.if_match.iter().map(|tag| (IF_MATCH, tag.clone())).collect();
        if self.given.replace {
            return self.send(noun, Method::PUT, &own, changes.fields);
        }
        if changes.go_below() {
            return self.below(noun, &changes);
        }
        self.send(noun, Method::PATCH, &own, changes.of(Map::new())?)
    }

    /// Changes what is below fields: reads them, and writes them if nobody else did meanwhile.
    fn below(&self, noun: Noun, changes: &Changes) -> Result<ExitCode> {
        for tried in 1.. {
            let (document, answer) = self.given.current(&self.changing.remote, noun)?;
            let tag = self.if_match.clone().or_else(|| answer.header("etag").map(str::to_owned));
            let headers: Vec<_> = tag.into_iter().map(|tag| (IF_MATCH, tag)).collect();
            match self.send(noun, Method::PATCH, &headers, changes.of(document)?) {
                Err(error) if tried < TRIES && self.if_match.is_none() && is_conflict(&error) => {}
                sent => return sent,
            }
        }
        bail!("others change this {} all the time", noun.word)
    }

    fn send(
        &self,
        noun: Noun,
        method: Method,
        headers: &[(HeaderName, String)],
        fields: Map<String, Value>,
    ) -> Result<ExitCode> {
        let key = &self.given.key;
        self.changing.send(noun, method, key, &noun.path(key, ""), headers, Some(Value::from(fields)))
    }
}

fn is_conflict(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.kind == Kind::Conflict)
}
