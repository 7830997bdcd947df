//! What is given of a flag on the command line: fields, or a file.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value};

use super::{
    ask, path,
    values::{Assignment, file},
};
use crate::cli::remote::{Answer, Remote, Request};

/// A flag, and new values of its fields.
#[derive(Debug, Args)]
pub(in crate::cli) struct Given {
    /// The flag.
    pub(super) key: String,
    /// `field=value`, or `field.below.0=value`; a value that is JSON counts as such, null resets the field.
    #[arg(value_name = "FIELD=VALUE", required_unless_present = "file")]
    fields: Vec<String>,
    /// Fields from a file, JSON or YAML; `-` for standard input.
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file is the whole document: what it does not name is reset, and a flag that is not there is created.
    #[arg(long, requires = "file", conflicts_with = "fields")]
    pub(super) replace: bool,
}

/// What was given, read.
pub(super) struct Changes {
    /// The fields of the file.
    pub(super) fields: Map<String, Value>,
    assignments: Vec<Assignment>,
}

impl Given {
    pub(super) fn read(&self) -> Result<Changes> {
        let fields = self.file.as_deref().map(file).transpose()?.unwrap_or_default();
        let assignments = self.fields.iter().map(|given| Assignment::parse(given)).collect::<Result<_>>()?;
        Ok(Changes { fields, assignments })
    }

    /// The flag as it is now, and the answer that tells its entity tag.
    pub(super) fn current(&self, remote: &Remote) -> Result<(Map<String, Value>, Answer)> {
        let request = Request { method: Method::GET, path: path(&self.key, ""), ..Request::default() };
        let mut answer = ask(remote, &self.key, &request)?;
        match answer.body.take() {
            Value::Object(document) => Ok((document, answer)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                bail!("the gateway's answer is not a flag")
            }
        }
    }
}

impl Changes {
    /// Whether what is below a field changes, so that one has to know the field.
    pub(super) fn go_below(&self) -> bool {
        self.assignments.iter().any(|assignment| assignment.steps.len() > 1)
    }

    /// The fields that change, with their new values, in a document of which only those need to be there that something
    /// changes below of.
    pub(super) fn of(&self, mut document: Map<String, Value>) -> Result<Map<String, Value>> {
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
