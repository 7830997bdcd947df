//! `[events]` and `[privacy]`: what is told of users and happenings, how they are named, and where it goes.

use std::{path::PathBuf, time::Duration};

use http::HeaderName;

use super::{
    ChannelUrl, Secret, Store, StoreKind,
    check::Checker,
    error::At,
    keys::{Kind, Section, key},
    read::Table,
};

pub(super) static KEYS: Section = Section {
    keys: &[
        key("enabled", Kind::Boolean, "true", "whether events are told at all"),
        key(
            "sinks",
            Kind::List(&Kind::Choice(&["redis", "file", "webhook"])),
            "by the store",
            "where they go; unless given: `redis` with a Redis, `file` with an embedded store, and `webhook` if there is one",
        ),
        key("service_name", Kind::Text, "\"flaggate\"", "`service_name` of all events"),
        key(
            "exposure_window",
            Kind::Duration,
            "\"1h\"",
            "a user's exposure to a flag's variation is told once in so long, by each gateway",
        ),
        key(
            "exposure_entries",
            Kind::Integer(1_024, 100_000_000),
            "262144",
            "exposures that are remembered for that, 8 bytes each; with more, some are told more often",
        ),
        key(
            "memory",
            Kind::Size,
            "\"32MiB\"",
            "what may wait, and what may wait for each sink; more is dropped and counted",
        ),
        key(
            "errors_per_second",
            Kind::Integer(0, 100_000),
            "10",
            "requests told as `error_occurred` in one second at most",
        ),
        key("session_id", Kind::Table(&SESSION), "none", "where a request says in which session it is"),
        key("redis", Kind::Table(&REDIS), "", "the stream in the Redis of `[store]`"),
        key("file", Kind::Table(&FILE), "", "files with an event on each line"),
        key(
            "webhook",
            Kind::Table(&WEBHOOK),
            "none",
            "a POST of a CloudEvents batch; its host must be in `outbound.allow`",
        ),
    ],
    later: &[],
};

static SESSION: Section = Section {
    keys: &[key("header", Kind::Text, "none", "a request header"), key("cookie", Kind::Text, "none", "a cookie")],
    later: &[],
};

static REDIS: Section = Section {
    keys: &[key("max_len", Kind::Integer(1, 1_000_000_000), "100000", "events that are kept, about; older ones go")],
    later: &[],
};

static FILE: Section = Section {
    keys: &[
        key("path", Kind::Text, "beside the store's", "the file; older ones have `.1`, `.2`, … behind the name"),
        key("max_size", Kind::Size, "\"64MiB\"", "the largest file; then another is begun"),
        key("keep", Kind::Integer(0, 1_000), "5", "older files that are kept"),
    ],
    later: &[],
};

static WEBHOOK: Section = Section {
    keys: &[
        key("url", Kind::Text, "none", "where it is"),
        key("url_file", Kind::Text, "none", "a file with the URL, read anew each time"),
        key("token_file", Kind::Text, "none", "a file with a token that is shown as `Authorization: Bearer …`"),
    ],
    later: &[],
};

pub(super) static PRIVACY: Section = Section {
    keys: &[
        key(
            "hash_user_ids",
            Kind::Boolean,
            "false",
            "whether users are told by a keyed hash of their id (HMAC-SHA256)",
        ),
        key("secret_file", Kind::Text, "none", "a file with the key: 16 bytes or more, the same for all gateways"),
    ],
    later: &[],
};

/// What is told of users and happenings.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// `service_name` of all events. Default `flaggate`.
    pub service_name: String,
    /// An exposure is told once in so long. Default 1 h.
    pub exposure_window: Duration,
    /// How many are remembered for that. Default 262 144.
    pub exposure_entries: usize,
    /// What may wait, and what may wait for each sink, in bytes. Default 32 MiB.
    pub memory: usize,
    /// How many requests are told as errors in one second at most. Default 10.
    pub errors_per_second: u32,
    /// Where a request says in which session it is.
    pub session_id: Option<SessionSource>,
    /// A stream in the Redis of the store.
    pub redis: Option<EventStream>,
    /// Files.
    pub file: Option<EventFile>,
    /// A web hook.
    pub webhook: Option<EventWebhook>,
}

/// Where a request says in which session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionSource {
    /// A header.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
}

/// A stream in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventStream {
    /// How many events are kept, about. Default 100 000.
    pub max_len: u64,
}

/// Files with an event on each line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFile {
    /// The file. Default beside the store's.
    pub path: PathBuf,
    /// The largest file, in bytes. Default 64 MiB.
    pub max_size: u64,
    /// How many older ones are kept. Default 5.
    pub keep: usize,
}

/// A web hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventWebhook {
    /// Where it is.
    pub url: ChannelUrl,
    /// A file with a token to show.
    pub token_file: Option<PathBuf>,
}

/// How users are named in what leaves the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// The file with the key that their ids are hashed with; none: they are not.
    pub hash_user_ids: Option<PathBuf>,
}

impl Default for Events {
    /// No sinks.
    fn default() -> Self {
        Self {
            service_name: "flaggate".to_owned(),
            exposure_window: Duration::from_secs(3_600),
            exposure_entries: 1 << 18,
            memory: 32 << 20,
            errors_per_second: 10,
            session_id: None,
            redis: None,
            file: None,
            webhook: None,
        }
    }
}

impl Events {
    pub(super) fn check(checker: &mut Checker<'_>, root: &Table, store: &Store) -> Self {
        let (defaults, empty) = (Self::default(), Table::default());
        let table = root.table("events").map_or(&empty, |(table, _)| table);
        let count = |name: &str, default: usize| table.count(name).unwrap_or(default);
        let errors_per_second = count("errors_per_second", defaults.errors_per_second as usize);
        let read = Self {
            service_name: table.text("service_name").map_or(defaults.service_name, |(name, _)| name.to_owned()),
            exposure_window: table.duration("exposure_window", defaults.exposure_window),
            exposure_entries: count("exposure_entries", defaults.exposure_entries),
            memory: usize::try_from(table.size("memory", defaults.memory as u64)).unwrap_or(usize::MAX),
            errors_per_second: u32::try_from(errors_per_second).unwrap_or(u32::MAX),
            session_id: table.table("session_id").and_then(|(table, at)| session(checker, table, at)),
            redis: None,
            file: None,
            webhook: None,
        };
        if !table.boolean("enabled", true) {
            return read;
        }
        let webhook = table.table("webhook");
        let chosen = |name: &str| table.texts("sinks").find(|(sink, _)| *sink == name).map(|(_, at)| at);
        let is_on = |name: &str, default: bool| match table.get("sinks") {
            Some(_) => chosen(name).is_some(),
            None => default,
        };
        let (is_redis, is_embedded) =
            (matches!(store.kind, StoreKind::Redis(_)), matches!(store.kind, StoreKind::Embedded { .. }));
        if let Some(at) = chosen("redis").filter(|_| !is_redis) {
            checker.problem(at, "the sink `redis` is the Redis of `[store]`: it needs `store.kind = \"redis\"`");
        }
        if let Some(at) = chosen("webhook").filter(|_| webhook.is_none()) {
            checker.problem(at, "the sink `webhook` needs `[events.webhook]`");
        }
        let (redis, file) = (table.table("redis"), table.table("file"));
        Self {
            redis: is_on("redis", is_redis).then(|| stream(redis.map_or(&empty, |(table, _)| table))),
            file: is_on("file", is_embedded).then(|| self::file(file.map_or(&empty, |(table, _)| table), store)),
            webhook: webhook
                .filter(|_| is_on("webhook", true))
                .and_then(|(table, at)| self::webhook(checker, table, at)),
            ..read
        }
    }
}

impl Privacy {
    pub(super) fn check(checker: &mut Checker<'_>, root: &Table) -> Self {
        let Some((table, at)) = root.table("privacy") else { return Self::default() };
        let secret = table.text("secret_file").map(|(path, _)| PathBuf::from(path));
        let is_on = table.boolean("hash_user_ids", false);
        if is_on && secret.is_none() {
            checker.problem(at, "`hash_user_ids` needs a `secret_file`: `head -c 32 /dev/urandom > FILE`");
        }
        Self { hash_user_ids: secret.filter(|_| is_on) }
    }
}

fn session(checker: &mut Checker<'_>, table: &Table, at: &At) -> Option<SessionSource> {
    match (table.text("header"), table.text("cookie")) {
        (Some(header), None) => checker.header(header).map(SessionSource::Header),
        (None, Some((cookie, _))) => Some(SessionSource::Cookie(cookie.to_owned())),
        (None, None) | (Some(_), Some(_)) => {
            checker.problem(at, "exactly one of header, cookie must be given");
            None
        }
    }
}

fn stream(table: &Table) -> EventStream {
    EventStream { max_len: table.count("max_len").map_or(100_000, |count| count as u64) }
}

fn file(table: &Table, store: &Store) -> EventFile {
    let beside = match &store.kind {
        StoreKind::Embedded { path } => path.with_extension("events.jsonl"),
        StoreKind::Memory | StoreKind::Redis(_) => PathBuf::from("data/flaggate.events.jsonl"),
    };
    EventFile {
        path: table.text("path").map_or(beside, |(path, _)| PathBuf::from(path)),
        max_size: table.size("max_size", 64 << 20),
        keep: table.count("keep").unwrap_or(5),
    }
}

/// What is wrong is told without the URL: it can hold a secret.
fn webhook(checker: &mut Checker<'_>, table: &Table, at: &At) -> Option<EventWebhook> {
    let url = match (table.text("url"), table.text("url_file")) {
        (Some((url, _)), None) if url.starts_with("http://") || url.starts_with("https://") => {
            ChannelUrl::Text(Secret::new(url))
        }
        (Some((_, at)), None) => {
            checker.problem(at, "`url` must begin with http:// or https://");
            return None;
        }
        (None, Some((path, _))) => ChannelUrl::File(PathBuf::from(path)),
        (None, None) | (Some(_), Some(_)) => {
            checker.problem(at, "exactly one of url, url_file must be given");
            return None;
        }
    };
    Some(EventWebhook { url, token_file: table.text("token_file").map(|(path, _)| PathBuf::from(path)) })
}
