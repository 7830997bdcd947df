//! Settings of the whole process.

use std::time::Duration;

use super::{
    keys::{Kind, Section, key},
    read::Table,
};

pub(super) static KEYS: Section = Section {
    keys: &[
        key("name", Kind::Text, "the host's", "what people call this gateway, in `/gateways` and `flaggate status`"),
        key("workers", Kind::Integer(1, 1_024), "one for each core", "worker threads of the gateway"),
        key(
            "drain_timeout",
            Kind::Duration,
            "\"30s\"",
            "how long requests may still take after SIGTERM, and connections after SIGQUIT",
        ),
        key(
            "watch_config",
            Kind::Boolean,
            "true",
            "whether this file is read anew when it changes, not on SIGHUP only",
        ),
    ],
    later: &["drain_notice", "upgrade"],
};

/// Process-wide settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What people call this gateway. Default: the name of its host.
    pub name: String,
    /// Worker threads of the gateway. Default: one for each core.
    pub workers: usize,
    /// How long requests may still take after SIGTERM. Default 30 s.
    pub drain_timeout: Duration,
    /// Whether the file is read anew when it changes. Default yes.
    pub watch_config: bool,
}

impl Server {
    pub(super) fn check(root: &Table) -> Self {
        let empty = Table::default();
        let table = root.table("server").map_or(&empty, |(table, _)| table);
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
        let name = table.text("name").map(|(name, _)| name.to_owned());
        Self {
            name: name.unwrap_or_else(|| host().unwrap_or_else(|_| "flaggate".to_owned())),
            workers: table.count("workers").unwrap_or_else(cores),
            drain_timeout: table.duration("drain_timeout", Duration::from_secs(30)),
            watch_config: table.boolean("watch_config", true),
        }
    }
}
