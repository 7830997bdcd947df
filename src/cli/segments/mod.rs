//! `flaggate segments`: looking at segments and changing them, and who is in them, through the admin API.

mod create;
mod evaluate;
mod list;
mod population;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::documents::{Delete, Get, History, Noun, Rollback, Set};

#[derive(Debug, Subcommand)]
pub(super) enum Segments {
    /// List segments, those of the highest priority first; with options, those that are asked for.
    List(list::List),
    /// Show one segment.
    Get(Get),
    /// Create a segment, from options or from a file.
    Create(create::Create),
    /// Change fields of a segment: `set ID field=value …`, or --file.
    Set(Set),
    /// Remove a segment that nothing names; asks first.
    Delete(Delete),
    /// Show what happened to a segment, newest first; also to one that is gone.
    History(History),
    /// Make a segment again what it was at an earlier revision; brings back one that is gone.
    Rollback(Rollback),
    /// Show which segments a user is a member of.
    Evaluate(evaluate::Evaluate),
    /// Show why a user is a member of segments, or is not.
    Explain(evaluate::Explain),
    /// Tell how many users are in a segment, from some who are drawn.
    Estimate(population::Estimate),
    /// Tell in which segments users are together.
    Overlap(population::Overlap),
    /// Work out anew for every user whether they are in a segment.
    Recompute(population::Recompute),
}

impl Segments {
    pub(super) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Get(get) => get.run(Noun::SEGMENT),
            Self::Create(create) => create.run(),
            Self::Set(set) => set.run(Noun::SEGMENT),
            Self::Delete(delete) => delete.run(Noun::SEGMENT),
            Self::History(history) => history.run(Noun::SEGMENT),
            Self::Rollback(rollback) => rollback.run(Noun::SEGMENT),
            Self::Evaluate(evaluate) => evaluate.run(),
            Self::Explain(explain) => explain.run(),
            Self::Estimate(estimate) => estimate.run(),
            Self::Overlap(overlap) => overlap.run(),
            Self::Recompute(recompute) => recompute.run(),
        }
    }
}
