//! Configuration that has been checked: every name resolves, every number is in its range.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, Method};
use jiff::Timestamp;

use super::{
    AccessLog, Analytics, ContextConfig, Events, Explain, Files, Listener, LoadBalance, Mirror, Outbound, Outlier,
    Privacy, Protocol, RateLimit, Recent, Redis, Retries, Server, Sticky, StickyKey, Tracing, UpstreamTls,
};
use crate::model::Role;

/// The most tries that one request may have.
pub const MOST_ATTEMPTS: usize = 10;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the gateway listens.
    pub listeners: Vec<Listener>,
    /// The admin listener.
    pub admin: Admin,
    /// Where documents live.
    pub store: Store,
    /// How a request's context is built.
    pub context: ContextConfig,
    /// What is stored of users, and how it is looked up.
    pub profiles: Profiles,
    /// What is remembered of who was here lately.
    pub recent: Recent,
    /// Which headers tell the upstream.
    pub inject: Inject,
    /// Pools of endpoints. Routes name them by their position here.
    pub upstreams: Vec<Upstream>,
    /// What goes where. In order of declaration.
    pub routes: Vec<Route>,
    /// The access log.
    pub access_log: AccessLog,
    /// Spans of requests; none: there are none.
    pub tracing: Option<Tracing>,
    /// Process-wide settings.
    pub server: Server,
    /// Where flaggate itself may call.
    pub outbound: Outbound,
    /// What is summed up of flags, routes and deployments.
    pub analytics: Analytics,
    /// What is told of users and happenings.
    pub events: Events,
    /// How users are named in what leaves the gateway.
    pub privacy: Privacy,
    /// What was read with it.
    pub files: Files,
    /// Who may see decisions in answers.
    pub explain: Explain,
    /// What cookies of sticky routes are signed with: the first signs.
    pub sticky: Vec<StickyKey>,
}

/// The admin listener: REST, `/metrics`, `/healthz`, `/readyz`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where it listens; loopback only, unless there are tokens.
    pub address: SocketAddr,
    /// Who may call it; none: everybody on this machine may do everything.
    pub tokens: Vec<AdminToken>,
    /// Whether `/metrics` can be read without a token.
    pub public_metrics: bool,
    /// The origins of other web sites whose pages may call it with a token.
    pub cors_origins: Vec<String>,
    /// The most that one token may ask in a second, on average.
    pub requests_per_second: Option<NonZeroU32>,
    /// How long a login of a browser holds.
    pub session_ttl: Duration,
    /// The key that logins are signed with; none: one that is drawn at the start.
    pub session_key_file: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9090)),
            tokens: Vec::new(),
            public_metrics: false,
            cors_origins: Vec::new(),
            requests_per_second: None,
            session_ttl: Duration::from_secs(12 * 3600),
            session_key_file: None,
        }
    }
}

/// A token of the admin API. What is kept of it does not let anybody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// Whose it is.
    pub name: String,
    /// What it may.
    pub role: Role,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Until when it holds; none: for ever.
    pub expires_at: Option<Timestamp>,
}

/// Where documents live.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Which home.
    pub kind: StoreKind,
    /// The last good world, served while the store is down at start.
    pub backup: Option<PathBuf>,
    /// Documents that an empty store is filled with at start.
    pub seed: Option<PathBuf>,
    /// A folder of segments that it is filled with.
    pub seed_segments: Option<PathBuf>,
    /// How long the snapshot may be behind the store before `/readyz` fails; none: for ever.
    pub ready_stale_after: Option<Duration>,
}

/// The homes that documents can have.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreKind {
    /// Gone at the end of the process.
    Memory,
    /// A file of this gateway's own.
    Embedded {
        /// The file.
        path: PathBuf,
    },
    /// A Redis that several gateways share.
    Redis(Box<Redis>),
}

/// How what is stored of users is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profiles {
    /// Whether it is at all. Default true.
    pub enabled: bool,
    /// How long a request waits at most. Default 5 ms.
    pub budget: Duration,
    /// Users who are kept in memory. Default 100 000.
    pub cache_entries: usize,
    /// How long a user is kept. Default 30 s.
    pub cache_ttl: Duration,
}

/// The names of the headers that tell the upstream who asks and what was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Inject {
    /// The user id. Default `X-User-Id`.
    pub user_id: HeaderName,
    /// The segments. Default `X-User-Segments`.
    pub user_segments: HeaderName,
    /// The segments that are told besides those that the route's flags name. Default none.
    pub segments: Vec<String>,
    /// The attributes, base64url JSON. Default `X-User-Context`.
    pub user_context: HeaderName,
    /// Which attributes go into `user_context`. Default none: the header is then not sent.
    pub context_attributes: Vec<String>,
    /// All flags of the route. Default `X-Flags`.
    pub flags: HeaderName,
    /// Route, strategy, upstream and revision. Default `X-Flaggate-Route`.
    pub route: HeaderName,
    /// The request id. Default `X-Request-Id`.
    pub request_id: HeaderName,
    /// Whether `baggage` tells of the request's flags as well. Default false.
    pub baggage: bool,
}

/// A named pool of endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub endpoints: Vec<Endpoint>,
    /// How an endpoint is chosen.
    pub load_balance: LoadBalance,
    /// Which HTTP it speaks.
    pub protocol: Protocol,
    /// How connections are encrypted; none: they are not.
    pub tls: Option<UpstreamTls>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What is tried again.
    pub retries: Retries,
    /// How health is found out; without it every endpoint counts as healthy.
    pub health_check: Option<HealthCheck>,
    /// When endpoints that answer with errors are put aside; none: never.
    pub outlier: Option<Outlier>,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// Its share of the requests relative to the others. 1 or more.
    pub weight: usize,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect. Default 1 s.
    pub connect: Duration,
    /// Between two reads or writes. Default 30 s.
    pub read: Duration,
    /// From the request's header to the response's header. Default 60 s.
    pub request: Duration,
}

/// An active health check.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// HTTP GET of this path must answer 2xx; without it a TCP connection is enough.
    pub path: Option<String>,
    /// Between two checks. Default 2 s.
    pub interval: Duration,
    /// How long one check may take. Default 1 s.
    pub timeout: Duration,
    /// Successes in a row that make an endpoint healthy. Default 2.
    pub healthy: usize,
    /// Failures in a row that make it unhealthy. Default 3.
    pub unhealthy: usize,
}

/// The position of an upstream in [`Config::upstreams`].
pub type UpstreamIndex = usize;

/// What is matched and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Which requests it takes.
    pub matches: Match,
    /// Where requests go that no strategy takes.
    pub upstream: UpstreamIndex,
    /// Feature strategies, first of all.
    pub features: Vec<Feature>,
    /// The canary strategy, second.
    pub canary: Option<Canary>,
    /// The blue/green strategy, third.
    pub blue_green: Option<BlueGreen>,
    /// Whose requests are copied, and where the copies go.
    pub mirror: Option<Mirror>,
    /// Flags that are evaluated for injection only.
    pub flags: Vec<Arc<str>>,
    /// Flags that get an own `X-Flag-<key>` header.
    pub flag_headers: Vec<FlagHeader>,
    /// Whether the client is told the upstream (`X-Flaggate-Upstream`).
    pub expose: bool,
    /// What is changed in the path.
    pub rewrite: Rewrite,
    /// The largest request body, in bytes. Default 10 MiB.
    pub body_limit: u64,
    /// How many requests there may be; none: any number.
    pub rate: Option<RateLimit>,
    /// Whether `//` in a path is the same as `/`. Default true.
    pub merge_slashes: bool,
    /// Whether answers name what the decision depends on in `Vary`. Default true.
    pub vary: bool,
    /// How its users are held to the upstream that they met first; none: they are not.
    pub sticky: Option<Sticky>,
    /// What becomes of WebSockets and streams whose decision changes. Default: nothing.
    pub on_flip: OnFlip,
    /// Whether requests without a good token are refused. Default: as `context.jwt` says.
    pub require_jwt: bool,
}

/// What becomes of WebSockets and streams whose decision changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFlip {
    /// They stay where they are.
    Pin,
    /// They are ended, within some seconds.
    Drain,
}

/// Which requests a route takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Host names, lower case, `*.` in front for every name below; none: any host.
    pub hosts: Vec<String>,
    /// The path or a parent of it. Default `/`.
    pub path_prefix: String,
    /// None: any method.
    pub methods: Vec<Method>,
    /// Headers that must have exactly these values.
    pub headers: Vec<(HeaderName, String)>,
}

/// Sends some variations of a flag to upstreams of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// The flag.
    pub flag: Arc<str>,
    /// Variation to upstream; other variations go on to the next strategy.
    pub variations: Vec<(String, UpstreamIndex)>,
}

/// Sends users for whom a boolean flag is true to the canary.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// The flag.
    pub flag: Arc<str>,
    /// The canary.
    pub upstream: UpstreamIndex,
}

/// Sends users to the side that a flag's variation names: `blue` or `green`.
#[derive(Clone, Debug, PartialEq)]
pub struct BlueGreen {
    /// The flag.
    pub flag: Arc<str>,
    /// Variation `blue`.
    pub blue: UpstreamIndex,
    /// Variation `green`.
    pub green: UpstreamIndex,
}

/// A flag that gets a header of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagHeader {
    /// The flag.
    pub flag: Arc<str>,
    /// The header. Default `X-Flag-<key>`, with what cannot stand in a header name replaced by `-`.
    pub header: HeaderName,
}

/// What is changed in the path before it is forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Taken off the front.
    pub strip_prefix: Option<String>,
}
