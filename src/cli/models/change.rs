//! `flaggate models put`, `rollback` and `delete`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::{Method, header::IF_MATCH};
use serde_json::json;

use super::{path, told};
use crate::cli::{
    confirm_deletion,
    documents::file,
    remote::{Remote, Request},
};

/// A whole model.
#[derive(Debug, Args)]
pub(in crate::cli) struct Put {
    #[command(flatten)]
    remote: Remote,
    /// The model.
    id: String,
    /// Its document in JSON or YAML, or an ONNX file (*.onnx); `-` reads a document from standard input.
    file: PathBuf,
    /// Of an ONNX file: the attributes that are its inputs, in its order.
    #[arg(long, alias = "feature-columns", value_name = "ATTRIBUTE", value_delimiter = ',')]
    features: Vec<String>,
    /// Of an ONNX file: what each feature is taken for where it is missing.
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', allow_negative_numbers = true)]
    mean: Vec<f64>,
    /// Of an ONNX file: the name of the output; that of the probabilities unless given.
    #[arg(long)]
    output: Option<String>,
    /// Of an ONNX file: which of the probabilities, from 0; of two the second unless given.
    #[arg(long)]
    class: Option<u32>,
    /// Of an ONNX file: a name for people.
    #[arg(long)]
    name: Option<String>,
    /// Only if the model still has this `ETag`.
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Goes back to an earlier revision.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    remote: Remote,
    /// The model.
    id: String,
    /// The revision, as the history shows it.
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    revision: u64,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Removes a model.
#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    remote: Remote,
    /// The model.
    id: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Put {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let headers: Vec<_> = self.if_match.iter().map(|tag| (IF_MATCH, tag.clone())).collect();
        let mut request = Request { method: Method::PUT, path: path(&self.id, "")?, headers: &headers, body: None };
        let answer = match self.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
            true => {
                let bytes = read(&self.file)?;
                request.path = format!("{}?{}", request.path, self.query());
                self.remote.exchange_bytes(&request, ("application/octet-stream", bytes), &mut |_| Ok(()))?
            }
            false if !self.query().is_empty() => {
                bail!("a document says its columns itself; the options are for *.onnx")
            }
            false => {
                request.body = Some(file(&self.file)?.into());
                self.remote.exchange(&request)?
            }
        };
        told(&self.id, &answer, self.json)
    }

    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.features.iter().map(|column| ("feature_columns", column)));
        query.extend_pairs(self.mean.iter().map(|mean| ("mean", mean.to_string())));
        query.extend_pairs(self.output.iter().map(|output| ("output", output)));
        query.extend_pairs(self.class.iter().map(|class| ("class", class.to_string())));
        query.extend_pairs(self.name.iter().map(|name| ("name", name)));
        query.finish()
    }
}

impl Rollback {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let (path, body) = (path(&self.id, "/rollback")?, Some(json!({ "revision": self.revision })));
        let answer = self.remote.exchange(&Request { method: Method::POST, path, headers: &[], body })?;
        told(&self.id, &answer, self.json)
    }
}

impl Delete {
    pub(super) fn run(&self) -> Result<ExitCode> {
        if !self.yes {
            confirm_deletion(&format!("the model {:?}", self.id))?;
        }
        let request = Request { method: Method::DELETE, path: path(&self.id, "")?, ..Request::default() };
        told(&self.id, &self.remote.exchange(&request)?, self.json)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("failed to read {}", path.display()))
}
