//! `[recent]`: the contexts that are remembered for previews.

use super::{
    keys::{Kind, Section, key},
    read::Table,
};

pub(super) static RECENT: Section = Section {
    keys: &[
        key("contexts", Kind::Integer(0, 100_000), "10000", "users whose newest context is remembered; 0: none is"),
        key("bytes", Kind::Size, "\"8MiB\"", "the memory that they may take"),
        key("per_second", Kind::Integer(1, 1_000_000), "1000", "requests that are noted in one second at most"),
    ],
    later: &[],
};

/// How much is remembered of who was here lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Users whose newest context is kept; 0: nothing is. Default 10 000.
    pub contexts: usize,
    /// The memory that they may take. Default 8 MiB.
    pub bytes: usize,
    /// How many requests are noted in one second; the others are passed over. Default 1 000.
    pub per_second: u32,
}

impl Default for Recent {
    fn default() -> Self {
        Self { contexts: 10_000, bytes: 8 << 20, per_second: 1_000 }
    }
}

impl Recent {
    pub(super) fn check(root: &Table) -> Self {
        let defaults = Self::default();
        let Some((table, _)) = root.table("recent") else { return defaults };
        let bytes = table.size("bytes", defaults.bytes as u64);
        Self {
            contexts: table.count("contexts").unwrap_or(defaults.contexts),
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            per_second: table
                .count("per_second")
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(defaults.per_second),
        }
    }
}
