//! What is given of a document on the command line: fields, or a file.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value};

use super::{
    Noun, ask,
    values::{Assignment, file},
};
use crate::cli::remote::{Answer, Remote, Request};

/// A document, and new values of its fields.
#[derive(Debug, Args)]
pub(in crate::cli) struct Given {
    /// Which one.
    pub(in crate::cli) key: String,
    /// `field=value`, or `field.below.0=value`; a value that is JSON counts as such, null resets the field.
    #[arg(value_name = "FIELD=VALUE", required_unless_present = "file")]
    fields: Vec<String>,
    /// Fields from a file, JSON or YAML; `-` for standard input.
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file is the whole document: what it does not name is reset, and one that is not there is created.
    #[arg(long, requires = "file", conflicts_with = "fields")]
    pub(in crate::cli) replace: bool,
}

/// What was given, read.
pub(in crate::cli) struct Changes {
    /// The fields of the file.
    pub(in crate::cli) fields: Map<String, Value>,
    assignments: Vec<Assignment>,
}

impl Given {
    pub(in crate::cli) fn read(&self) -> Result<Changes> {
        let fields = self.file.as_deref().map(file).transpose()?.unwrap_or_default();
        let assignments = self.fields.iter().map(|given| Assignment::parse(given)).collect::<Result<_>>()?;
        Ok(Changes { fields, assignments })
    }

    /// The document as it is now, and the answer that tells its entity tag.
    pub(in crate::cli) fn current(&self, remote: &Remote, noun: Noun) -> Result<(Map<String, Value>, Answer)> {
        let request = Request { method: Method::GET, path: noun.path(&self.key, ""), ..Request::default() };
        let mut answer = ask(remote, noun, &self.key, &request)?;
        match answer.body.take() {
            Value::Object(document) => Ok((document, answer)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                bail!("the gateway's answer is not a {}", noun.word)
            }
        }
    }
}

impl Changes {
    /// Whether what is below a field changes, so that one has to know the field.
    pub(in crate::cli) fn go_below(&self) -> bool {
        self.assignments.iter().any(|assignment| assignment.steps.len() > 1)
    }

    /// The fields that change, with their new values, in a document of which only those need to be there that something
    /// changes below of.
    pub(in crate::cli) fn of(&self, mut document: Map<String, Value>) -> Result<Map<String, Value>> {
        document.extend(self.fields.clone());
        for assignment in &self.assignments {
            assignment.apply(&mut document)?;
        }
        document.retain(|name, _| {
            let assigned = || self.assignments.iter().any(|assignment| assignment.steps.first() == Some(name));
            self.fields.contains_key(name) || assigned()
        });
        Ok(document)
    }
}
