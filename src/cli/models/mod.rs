//! `flaggate models`: trained models, through the admin API.

mod change;
mod look;
mod train;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;

use super::{
    documents::{in_path, revision},
    remote::Answer,
    say,
};

#[derive(Debug, Subcommand)]
pub(super) enum Models {
    /// List models: what they learnt from, how well they do, and the segments that ask them.
    List(look::List),
    /// Show one model; --json prints its document.
    Get(look::Get),
    /// Write a model from its document, or from an ONNX file: `put churn churn.onnx --features visits,plan`.
    Put(change::Put),
    /// Train a model on stored profiles: `train groups --kind kmeans --features visits,basket -k 4`.
    Train(train::Train),
    /// Show what happened to a model, newest first; also of one that is gone.
    History(look::History),
    /// Make a model again what it was at an earlier revision; brings back one that is gone.
    Rollback(change::Rollback),
    /// Remove a model that no segment asks; asks first.
    Delete(change::Delete),
}

impl Models {
    pub(super) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Get(get) => get.run(),
            Self::Put(put) => put.run(),
            Self::Train(train) => train.run(),
            Self::History(history) => history.run(),
            Self::Rollback(rollback) => rollback.run(),
            Self::Delete(delete) => delete.run(),
        }
    }
}

/// The path of a model, and of what is below.
fn path(id: &str, below: &str) -> Result<String> {
    // What such a path means, a client decides before it is sent.
    if matches!(id, "" | "." | "..") {
        bail!("{id:?} is no model's id");
    }
    Ok(format!("/models/{}{below}", in_path(id)))
}

/// Says what became of a model.
fn told(id: &str, answer: &Answer, as_json: bool) -> Result<ExitCode> {
    let now = match revision(answer) {
        None => format!("{id} is deleted; `flaggate models history {id}` still knows it"),
        Some(revision) => format!("{id} is at revision {revision}"),
    };
    say(&if as_json { serde_json::to_string_pretty(&answer.body)? } else { now })?;
    Ok(ExitCode::SUCCESS)
}
