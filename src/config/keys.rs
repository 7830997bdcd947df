//! Every key of the configuration: what it takes, its default and its meaning. Reading, suggestions, the JSON Schema and
//! the check of the documentation all follow this table.

use super::{
    access_log, analytics, balance, context, events, explain, limits,
    listener::LISTENER,
    mirror::MIRROR,
    outbound,
    protocol::{PROTOCOLS, UPSTREAM_TLS},
    recent::RECENT,
    server, sticky, tracing,
};
use crate::model::Role;

/// What a key takes.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Boolean,
    /// A whole number in a range, ends included.
    Integer(i64, i64),
    /// `"250ms"`, `"2s"`, `"5m"`, `"1h"`, `"1d"`.
    Duration,
    /// `"512B"`, `"64KiB"`, `"10MiB"`, `"1GiB"`.
    Size,
    Choice(&'static [&'static str]),
    /// One of some words, or a table.
    ChoiceOr(&'static [&'static str], &'static Section),
    List(&'static Self),
    Table(&'static Section),
    /// A table whose names are free.
    Map(&'static Self),
}

/// The keys of one table.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) keys: &'static [Key],
    /// Keys that a later version will know.
    pub(super) later: &'static [&'static str],
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As it would stand in the file; `required` or `none` where there is none.
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
}

pub(super) const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

pub(super) const REQUIRED: &str = "required";

pub(super) const TEXTS: Kind = Kind::List(&Kind::Text);

pub(super) static ROOT: Section = Section {
    keys: &[
        key("listeners", Kind::List(&Kind::Table(&LISTENER)), REQUIRED, "where the gateway takes requests"),
        key("admin", Kind::Table(&ADMIN), "", "the admin listener: REST, metrics, health"),
        key("store", Kind::Table(&STORE), "", "where documents live"),
        key("context", Kind::Table(&context::KEYS), "", "who is asking: the user id and attributes"),
        key("profiles", Kind::Table(&PROFILES), "", "what is stored of users, looked up when a flag asks for it"),
        key("recent", Kind::Table(&RECENT), "", "who was here lately, for previews of changes"),
        key("inject", Kind::Table(&INJECT), "", "which headers tell the upstream who asks and what was decided"),
        key("upstreams", Kind::Map(&Kind::Table(&UPSTREAM)), REQUIRED, "pools of endpoints, by name"),
        key("routes", Kind::List(&Kind::Table(&ROUTE)), REQUIRED, "which requests go where"),
        key("access_log", Kind::Table(&access_log::KEYS), "", "one line for each request"),
        key("tracing", Kind::Table(&tracing::KEYS), "none", "spans of requests, sent to an OpenTelemetry collector"),
        key("server", Kind::Table(&server::KEYS), "", "process-wide settings"),
        key(
            "outbound",
            Kind::Table(&outbound::KEYS),
            "",
            "where flaggate itself may call, for metrics and notifications",
        ),
        key("analytics", Kind::Table(&analytics::KEYS), "", "what is summed up of flags, routes and deployments"),
        key("events", Kind::Table(&events::KEYS), "", "what is told of users and happenings, and where it goes"),
        key("explain", Kind::Table(&explain::KEYS), "", "who may see decisions in answers"),
        key("sticky", Kind::Table(&sticky::KEYS), "", "what the cookies of sticky routes are signed with"),
        key("privacy", Kind::Table(&events::PRIVACY), "", "how users are named in what leaves the gateway"),
    ],
    later: &["conductor"],
};

static ADMIN: Section = Section {
    keys: &[
        key(
            "address",
            Kind::Text,
            "\"127.0.0.1:9090\"",
            "`ip:port` to listen on; loopback only unless there are tokens",
        ),
        key(
            "tokens",
            Kind::List(&Kind::Table(&TOKEN)),
            "[]",
            "who may call the API; none: everybody on this machine may do everything",
        ),
        key("public_metrics", Kind::Boolean, "false", "whether `/metrics` can be read without a token"),
        key(
            "cors_origins",
            TEXTS,
            "[]",
            "web sites, like `https://app.example`, whose pages may call the API with a token",
        ),
        key(
            "requests_per_second",
            Kind::Integer(1, 10_000_000),
            "none",
            "the most that one token may ask, on average; more is answered 429",
        ),
        key("session_ttl", Kind::Duration, "\"12h\"", "how long a login of a browser holds"),
        key(
            "session_key_file",
            Kind::Text,
            "none",
            "a file with 32 random bytes or more that several gateways share; none: a login holds at this gateway until it stops",
        ),
    ],
    later: &["tls"],
};

static TOKEN: Section = Section {
    keys: &[
        key("name", Kind::Text, REQUIRED, "whose it is; stands in the audit log"),
        key("role", Kind::Choice(&Role::NAMES), REQUIRED, "what it may: each role may what the ones before it may"),
        key("sha256", Kind::Text, REQUIRED, "the token's SHA-256 in hex; `flaggate token new` makes both"),
        key("expires_at", Kind::Text, "none", "until when it holds, like `2027-01-31T00:00:00Z`"),
    ],
    later: &[],
};

static STORE: Section = Section {
    keys: &[
        key(
            "kind",
            Kind::Choice(&["embedded", "redis", "memory"]),
            "\"embedded\"",
            "`embedded`: a file of this gateway's own; `redis`: shared by many; `memory`: gone at the end",
        ),
        key(
            "path",
            Kind::Text,
            "\"data/flaggate.redb\"",
            "the file of the embedded store, relative to the working directory",
        ),
        key("backup", Kind::Text, "none", "the last good world as JSON; served when the store is down at start"),
        key(
            "seed",
            Kind::Text,
            "none",
            "a JSON array of flag documents, or what an export gives; written into the store when it is empty at start",
        ),
        key(
            "seed_segments",
            Kind::Text,
            "none",
            "a folder of `*.json` with a segment document each, written into the store with the `seed`",
        ),
        key("url", Kind::Text, "none", "`redis://user:password@host:6379/0`, or `rediss://…` for TLS"),
        key("urls", TEXTS, "[]", "instead of `url`: the sentinels, or some nodes of the cluster"),
        key("sentinel", Kind::Table(&SENTINEL), "none", "the `urls` are sentinels, which know the master"),
        key("cluster", Kind::Boolean, "false", "whether the `urls` are nodes of a Redis Cluster"),
        key("ca", Kind::Text, "none", "PEM file of the authorities that are believed; none: the system's"),
        key("password_file", Kind::Text, "none", "a file with the password, read anew for each connection"),
        key("key_prefix", Kind::Text, "\"\"", "stands in front of all keys; a cluster needs a hash tag in it"),
        key(
            "ready_stale_after",
            Kind::Duration,
            "none",
            "`/readyz` fails once the snapshot may have been behind the store for longer; none: what was loaded is served",
        ),
        key("connect_timeout", Kind::Duration, "\"1s\"", "for a connection to Redis to be there"),
        key("answer_timeout", Kind::Duration, "\"2s\"", "for an answer of Redis"),
    ],
    later: &[],
};

static SENTINEL: Section = Section {
    keys: &[
        key("master", Kind::Text, REQUIRED, "the name under which the sentinels watch the master"),
        key("username", Kind::Text, "none", "who logs in to the sentinels"),
        key("password_file", Kind::Text, "none", "a file with the password for the sentinels"),
    ],
    later: &[],
};

static PROFILES: Section = Section {
    keys: &[
        key("enabled", Kind::Boolean, "true", "whether profiles are looked up at all"),
        key("budget", Kind::Duration, "\"5ms\"", "how long a request waits at most; then flags are evaluated without"),
        key("cache_entries", Kind::Integer(1, 100_000_000), "100000", "users whose profiles are kept in memory"),
        key(
            "cache_ttl",
            Kind::Duration,
            "\"30s\"",
            "how long a profile is kept; a change made through flaggate ends it at once",
        ),
    ],
    later: &[],
};

static INJECT: Section = Section {
    keys: &[
        key("user_id", Kind::Text, "\"X-User-Id\"", "header with the user id"),
        key(
            "user_segments",
            Kind::Text,
            "\"X-User-Segments\"",
            "header with the user's segments: ids, separated by commas",
        ),
        key(
            "segments",
            TEXTS,
            "[]",
            "the segments that `user_segments` tells of besides those that the route's flags name",
        ),
        key("user_context", Kind::Text, "\"X-User-Context\"", "header with attributes, base64url JSON"),
        key(
            "context_attributes",
            TEXTS,
            "[]",
            "the attributes that go into `user_context`; none: the header is not sent",
        ),
        key("flags", Kind::Text, "\"X-Flags\"", "header with the route's flags, a structured-field dictionary"),
        key("route", Kind::Text, "\"X-Flaggate-Route\"", "header with route, strategy, upstream and revision"),
        key("request_id", Kind::Text, "\"X-Request-Id\"", "header with the request id"),
        key("baggage", Kind::Boolean, "false", "whether `baggage` (W3C) tells of the request's flags as well"),
    ],
    later: &[],
};

static UPSTREAM: Section = Section {
    keys: &[
        key("endpoints", Kind::List(&Kind::Table(&ENDPOINT)), REQUIRED, "where it is"),
        key(
            "load_balance",
            balance::LOAD_BALANCES,
            "\"round_robin\"",
            "how an endpoint is chosen; `least_conn`: the least busy; `p2c`: the less busy of two drawn at random; `hash`: the same one for the same user",
        ),
        key(
            "hash_on",
            Kind::ChoiceOr(&["user", "client_ip"], &balance::SUBJECT),
            "\"user\"",
            "what `hash` goes by; a request without it goes by the client's address",
        ),
        key(
            "protocol",
            PROTOCOLS,
            "\"http1\"",
            "`http2`: without `tls` at once (h2c); `auto`: what the upstream prefers, by ALPN",
        ),
        key(
            "tls",
            Kind::Table(&UPSTREAM_TLS),
            "none",
            "connections are encrypted; `{}`: and checked by the system's authorities",
        ),
        key("timeouts", Kind::Table(&TIMEOUTS), "", "how long things may take"),
        key(
            "retries",
            Kind::Table(&balance::RETRIES),
            "",
            "what is tried again: connect errors, and idempotent methods only",
        ),
        key(
            "health_check",
            Kind::Table(&HEALTH_CHECK),
            "none",
            "an active check; without it every endpoint counts as healthy",
        ),
        key("outlier", Kind::Table(&balance::OUTLIER), "none", "endpoints that answer with errors are put aside"),
    ],
    later: &["circuit_breaker"],
};

static ENDPOINT: Section = Section {
    keys: &[
        key("address", Kind::Text, REQUIRED, "`host:port`; a host name is resolved again and again"),
        key("weight", Kind::Integer(1, 1_000), "1", "its share of the requests relative to the others"),
    ],
    later: &["zone"],
};

static TIMEOUTS: Section = Section {
    keys: &[
        key("connect", Kind::Duration, "\"1s\"", "to connect"),
        key("read", Kind::Duration, "\"30s\"", "between two reads or writes"),
        key("request", Kind::Duration, "\"60s\"", "from the request's header to the response's header"),
    ],
    later: &["idle"],
};

static HEALTH_CHECK: Section = Section {
    keys: &[
        key("path", Kind::Text, "none", "GET of this path must answer 2xx; without it a TCP connection is enough"),
        key("interval", Kind::Duration, "\"2s\"", "between two checks"),
        key("timeout", Kind::Duration, "\"1s\"", "for one check"),
        key("healthy", Kind::Integer(1, 100), "2", "successes in a row that make an endpoint healthy"),
        key("unhealthy", Kind::Integer(1, 100), "3", "failures in a row that make it unhealthy"),
    ],
    later: &["host", "status", "grpc"],
};

static ROUTE: Section = Section {
    keys: &[
        key("name", Kind::Text, REQUIRED, "its name in logs, headers and metrics"),
        key("match", Kind::Table(&MATCH), "", "which requests it takes; without it all"),
        key("upstream", Kind::Text, REQUIRED, "where requests go that no strategy takes"),
        key(
            "features",
            Kind::List(&Kind::Table(&FEATURE)),
            "[]",
            "variations of flags that have upstreams of their own, first of all",
        ),
        key("canary", Kind::Table(&CANARY), "none", "users for whom a flag is on go to the canary, second"),
        key(
            "blue_green",
            Kind::Table(&BLUE_GREEN),
            "none",
            "users go to the side that a flag's variation names, third",
        ),
        key("mirror", Kind::Table(&MIRROR), "none", "copies of requests go to an upstream whose answers nobody sees"),
        key("flags", TEXTS, "[]", "flags that are evaluated for injection only"),
        key("flag_headers", Kind::List(&Kind::Table(&FLAG_HEADER)), "[]", "flags that get a header of their own"),
        key("expose", Kind::Boolean, "false", "whether the client is told the upstream (`X-Flaggate-Upstream`)"),
        key("rewrite", Kind::Table(&REWRITE), "", "what is changed in the path"),
        key("limits", Kind::Table(&LIMITS), "", "what a request may be"),
        key("merge_slashes", Kind::Boolean, "true", "whether `//` in a path is the same as `/`"),
        key("vary", Kind::Boolean, "true", "whether answers name what the decision depends on in `Vary`"),
        key("sticky", Kind::Table(&sticky::ROUTE), "none", "holds users to the upstream that they met first"),
        key(
            "on_flip",
            Kind::Choice(&["pin", "drain"]),
            "\"pin\"",
            "what becomes of WebSockets and streams whose decision changes: `drain` ends them within some seconds",
        ),
        key("require_jwt", Kind::Boolean, "context.jwt.required", "whether requests without a good token are refused"),
    ],
    later: &["timeouts"],
};

static MATCH: Section = Section {
    keys: &[
        key("hosts", TEXTS, "[]", "host names, `*.` in front for every name below; none: any"),
        key("path_prefix", Kind::Text, "\"/\"", "the path or a parent of it"),
        key("methods", TEXTS, "[]", "none: any"),
        key("headers", Kind::Map(&Kind::Text), "{}", "headers that must have exactly these values"),
    ],
    later: &["query", "path", "path_regex"],
};

static FEATURE: Section = Section {
    keys: &[
        key("flag", Kind::Text, REQUIRED, "the flag"),
        key(
            "variations",
            Kind::Map(&Kind::Text),
            REQUIRED,
            "variation = upstream; other variations go on to the next strategy",
        ),
    ],
    later: &[],
};

static CANARY: Section = Section {
    keys: &[key("flag", Kind::Text, REQUIRED, "the flag"), key("upstream", Kind::Text, REQUIRED, "the canary")],
    later: &[],
};

static BLUE_GREEN: Section = Section {
    keys: &[
        key("flag", Kind::Text, REQUIRED, "the flag; its variations are `blue` and `green`"),
        key("blue", Kind::Text, REQUIRED, "the upstream of variation `blue`"),
        key("green", Kind::Text, REQUIRED, "the upstream of variation `green`"),
    ],
    later: &[],
};

static FLAG_HEADER: Section = Section {
    keys: &[key("flag", Kind::Text, REQUIRED, "the flag"), key("header", Kind::Text, "X-Flag-<key>", "the header")],
    later: &[],
};

static REWRITE: Section = Section {
    keys: &[key("strip_prefix", Kind::Text, "none", "taken off the front of the path")],
    later: &["add_prefix", "replace"],
};

static LIMITS: Section = Section {
    keys: &[
        key("body", Kind::Size, "\"10MiB\"", "the largest request body"),
        key("rate", Kind::Table(&limits::RATE), "none", "how many requests there may be; more are answered 429"),
    ],
    later: &[],
};
