//! `[outbound]`: where flaggate itself may call.

use std::path::PathBuf;

use ipnet::IpNet;
use url::{Host, Origin, Url};

use super::{
    Secret,
    check::Checker,
    error::At,
    keys::{Kind, Section, TEXTS, key},
    read::Table,
};

pub(super) static KEYS: Section = Section {
    keys: &[
        key("allow", TEXTS, "[]", "the hosts that may be called, each `host:port`; none: nobody is called"),
        key("networks", TEXTS, "[]", "loopback and private networks that listed names may lead to, like `10.0.0.0/8`"),
        key("ca", Kind::Text, "none", "PEM file of the authorities that are believed; none: the system's"),
        key(
            "channels",
            Kind::Map(&Kind::Table(&CHANNEL)),
            "{}",
            "where notifications go, by the name that documents use",
        ),
        key(
            "credentials",
            Kind::Map(&Kind::Table(&CREDENTIAL)),
            "{}",
            "what a Prometheus asks for, by where it is: `\"https://prometheus.internal:9090\"`",
        ),
    ],
    later: &[],
};

static CHANNEL: Section = Section {
    keys: &[
        key(
            "kind",
            Kind::Choice(&["webhook", "slack"]),
            "\"webhook\"",
            "`webhook`: a CloudEvents JSON object; `slack`: `{\"text\": …}`",
        ),
        key("url", Kind::Text, "none", "where a webhook is; its host must be in `allow`"),
        key(
            "url_file",
            Kind::Text,
            "none",
            "a file with the URL, read anew each time; who knows a Slack URL can write there",
        ),
    ],
    later: &[],
};

static CREDENTIAL: Section = Section {
    keys: &[
        key("bearer_file", Kind::Text, "none", "a file with a token, read anew each time"),
        key("bearer_env", Kind::Text, "none", "a variable of the environment with a token"),
        key("username", Kind::Text, "none", "who logs in with a password"),
        key("password_file", Kind::Text, "none", "a file with the password, read anew each time"),
        key("password_env", Kind::Text, "none", "a variable of the environment with the password"),
    ],
    later: &[],
};

/// Where flaggate itself may call, for metrics and notifications. Nowhere, unless it is listed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outbound {
    /// The hosts that may be called.
    pub allow: Vec<AllowedHost>,
    /// Loopback and private networks that listed names may lead to.
    pub networks: Vec<IpNet>,
    /// PEM file of the authorities that are believed; none: the system's.
    pub ca: Option<PathBuf>,
    /// Where notifications go.
    pub channels: Vec<Channel>,
    /// What the Prometheus at a place asks for.
    pub credentials: Vec<Credential>,
}

/// What is shown to a Prometheus. It goes to no other place than this, and not to this one over another scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Scheme, host and port.
    pub origin: Origin,
    /// Who logs in; nobody: the secret is a bearer token.
    pub username: Option<String>,
    /// Where the secret is: the configuration never holds it.
    pub secret: SecretAt,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretAt {
    /// In a file, read anew each time.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
}

/// A host that may be called, at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    /// A name in lower case, or an address.
    pub host: Host<String>,
    /// The port.
    pub port: u16,
}

/// Where notifications go: documents name it, and never see its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The name that documents call it by.
    pub name: String,
    /// How it is told.
    pub kind: ChannelKind,
    /// Where it is.
    pub url: ChannelUrl,
}

/// How a channel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// A POST of a `CloudEvents` JSON object.
    Webhook,
    /// A POST of `{"text": …}`, as Slack and what is compatible with it take.
    Slack,
}

/// The URL of a channel. Who knows it can write there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelUrl {
    /// The URL.
    Text(Secret),
    /// A file with the URL, read anew each time.
    File(PathBuf),
}

impl Outbound {
    pub(super) fn check(checker: &mut Checker<'_>, root: &Table) -> Self {
        let Some((table, _)) = root.table("outbound") else { return Self::default() };
        let allow = table.texts("allow");
        let allow =
            allow.filter_map(|text| checker.parse(text, "`host:port`, like \"prometheus.internal:9090\"", host));
        let allow: Vec<AllowedHost> = allow.collect();
        let networks = table.texts("networks");
        let networks = networks.filter_map(|text| checker.parse(text, "a network like \"10.0.0.0/8\"", network));
        let networks = networks.collect();
        let ca = table.text("ca").map(|(text, _)| PathBuf::from(text));
        let mut channels = Vec::new();
        for (name, node) in table.table("channels").into_iter().flat_map(|(table, _)| &table.entries) {
            let found = node.table().and_then(|table| channel(checker, name, table, &node.at));
            channels.extend(found);
        }
        let mut credentials = Vec::new();
        for (place, node) in table.table("credentials").into_iter().flat_map(|(table, _)| &table.entries) {
            let found = node.table().and_then(|table| credential(checker, place, table, &node.at, &allow));
            credentials.extend(found);
        }
        Self { allow, networks, ca, channels, credentials }
    }
}

/// Scheme, host and port of a URL that is nothing more.
fn origin(text: &str) -> Option<Origin> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    (is_bare && url.username().is_empty() && url.password().is_none()).then(|| url.origin())
}

fn credential(
    checker: &mut Checker<'_>,
    place: &str,
    table: &Table,
    at: &At,
    allow: &[AllowedHost],
) -> Option<Credential> {
    let Some(origin) = origin(place) else {
        checker.problem(at, "credentials are named by where they go, like \"https://prometheus.internal:9090\"");
        return None;
    };
    let is_allowed = |allowed: &AllowedHost| match &origin {
        Origin::Tuple(_, host, port) => allowed.host == *host && allowed.port == *port,
        Origin::Opaque(_) => false,
    };
    if !allow.iter().any(is_allowed) {
        checker.problem(at, "these credentials go to a host that is not in `allow`");
        return None;
    }
    let text = |name: &str| table.text(name).map(|(text, _)| text.to_owned());
    let (given, others) = match text("username") {
        None => ([text("bearer_file"), text("bearer_env")], ["password_file", "password_env"].map(text)),
        Some(_) => ([text("password_file"), text("password_env")], ["bearer_file", "bearer_env"].map(text)),
    };
    let secret = match (given, others) {
        ([Some(path), None], [None, None]) => SecretAt::File(PathBuf::from(path)),
        ([None, Some(variable)], [None, None]) => SecretAt::Variable(variable),
        (_, _) => {
            let wanted = "exactly one of bearer_file, bearer_env must be given, or a username with exactly one of password_file, password_env";
            checker.problem(at, wanted);
            return None;
        }
    };
    Some(Credential { origin, username: text("username"), secret })
}

fn host(text: &str) -> Option<AllowedHost> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let host = Host::parse(host).ok().filter(|_| !host.contains('*'))?;
    Some(AllowedHost { host, port })
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

/// What is wrong is told without the URL: it can hold a secret.
fn channel(checker: &mut Checker<'_>, name: &str, table: &Table, at: &At) -> Option<Channel> {
    let kind = match table.text("kind").map_or("", |(text, _)| text) {
        "slack" => ChannelKind::Slack,
        _ => ChannelKind::Webhook,
    };
    let url = match (table.text("url"), table.text("url_file")) {
        (Some((text, _)), None) if kind == ChannelKind::Webhook => {
            if !(text.starts_with("http://") || text.starts_with("https://")) {
                checker.problem(at, "`url` must begin with http:// or https://");
                return None;
            }
            ChannelUrl::Text(Secret::new(text))
        }
        (Some((_, at)), None) => {
            checker.problem(at, "the URL of a Slack hook is a secret: put it into a file and name that in `url_file`");
            return None;
        }
        (None, Some((text, _))) => ChannelUrl::File(PathBuf::from(text)),
        (None, None) | (Some(_), Some(_)) => {
            checker.problem(at, "exactly one of url, url_file must be given");
            return None;
        }
    };
    Some(Channel { name: name.to_owned(), kind, url })
}
