//! `[analytics]`: whether what flags do to users and the traffic is summed up.

use super::{
    keys::{Kind, Section, key},
    read::Table,
};

pub(super) static KEYS: Section = Section {
    keys: &[key(
        "enabled",
        Kind::Boolean,
        "true",
        "whether this gateway notes who meets which variation and does what, and sums up minutes and hours",
    )],
    later: &[],
};

/// What is summed up for `/analytics` and `/insights`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Analytics {
    /// Whether anything is. Default yes.
    pub enabled: bool,
}

impl Analytics {
    pub(super) fn check(root: &Table) -> Self {
        Self { enabled: root.table("analytics").is_none_or(|(table, _)| table.boolean("enabled", true)) }
    }
}
