//! `flaggate deployments`: looking at deployments and telling them what to do, through the admin API.

mod apply;
mod list;
mod show;
mod tell;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::documents::{Delete, History, Noun};

pub(super) use apply::{apply, planned};

#[derive(Debug, Subcommand)]
pub(super) enum Deployments {
    /// List deployments and how far they are.
    List(list::List),
    /// Show one deployment: its stages, and what it waits on.
    Get(show::Get),
    /// Show one deployment each time something changes, until it has ended.
    Watch(watch::Watch),
    /// Create a deployment from a file, JSON or YAML; with --start, start it.
    Create(tell::Create),
    /// Begin.
    Start(tell::Plain),
    /// Stop the clock; the flags stay as they are.
    Pause(tell::WithReason),
    /// Go on after a pause.
    Resume(tell::Plain),
    /// Do not wait any longer at this step; with --full, send everybody to the new side now.
    Promote(tell::Promote),
    /// Undo it: the flags go back to what they were.
    Abort(tell::WithReason),
    /// Begin anew what failed or was rolled back.
    Retry(tell::Plain),
    /// Approve at a manual gate.
    Approve(tell::Approve),
    /// Remove a deployment that does not run; asks first.
    Delete(Delete),
    /// Show what happened to a deployment, newest first; also to one that is gone.
    History(History),
}

impl Deployments {
    pub(super) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Get(get) => get.run(),
            Self::Watch(watch) => watch.run(),
            Self::Create(create) => create.run(),
            Self::Start(plain) => plain.run("start"),
            Self::Pause(told) => told.run("pause"),
            Self::Resume(plain) => plain.run("resume"),
            Self::Promote(promote) => promote.run(),
            Self::Abort(told) => told.run("abort"),
            Self::Retry(plain) => plain.run("retry"),
            Self::Approve(approve) => approve.run(),
            Self::Delete(delete) => delete.run(Noun::DEPLOYMENT),
            Self::History(history) => history.run(Noun::DEPLOYMENT),
        }
    }
}
