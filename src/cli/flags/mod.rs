//! `flaggate flags`: looking at flags and changing them, through the admin API.

mod create;
mod list;
mod preview;
mod switch;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::documents::{Delete, Get, History, Noun, Rollback, Set};

#[derive(Debug, Subcommand)]
pub(super) enum Flags {
    /// List flags by key; with options, those that are asked for.
    List(list::List),
    /// Show one flag.
    Get(Get),
    /// Create a flag, from options or from a file.
    Create(create::Create),
    /// Change fields of a flag: `set KEY field=value …`, or --file.
    Set(Set),
    /// Tell whom a change would reach, of those who were here lately; takes what `set` takes, and changes nothing.
    Preview(preview::Preview),
    /// Turn a flag on.
    On(switch::Switch),
    /// Turn a flag off: everybody gets its default, or its off variant.
    Off(switch::Switch),
    /// Give a flag to a share of the users: `rollout KEY 25%`.
    Rollout(switch::Rollout),
    /// Remove a flag; asks first.
    Delete(Delete),
    /// Show what happened to a flag, newest first; also to one that is gone.
    History(History),
    /// Make a flag again what it was at an earlier revision; brings back one that is gone.
    Rollback(Rollback),
}

impl Flags {
    pub(super) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Get(get) => get.run(Noun::FLAG),
            Self::Create(create) => create.run(),
            Self::Set(set) => set.run(Noun::FLAG),
            Self::Preview(preview) => preview.run(),
            Self::On(switch) => switch.run(true),
            Self::Off(switch) => switch.run(false),
            Self::Rollout(rollout) => rollout.run(),
            Self::Delete(delete) => delete.run(Noun::FLAG),
            Self::History(history) => history.run(Noun::FLAG),
            Self::Rollback(rollback) => rollback.run(Noun::FLAG),
        }
    }
}
