//! `[tracing]`: spans of requests, sent to an OpenTelemetry collector.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};
use url::Url;

use super::{
    AcceptIdentityFrom, Secret,
    check::Checker,
    keys::{Kind, REQUIRED, Section, key},
    read::Table,
    units::Share,
};

pub(super) static KEYS: Section = Section {
    keys: &[
        key(
            "endpoint",
            Kind::Text,
            REQUIRED,
            "where the collector takes OTLP over HTTP, like `http://127.0.0.1:4318`; `/v1/traces` is added where there is no path",
        ),
        key("headers", Kind::Map(&Kind::Text), "{}", "headers that are sent along, by name"),
        key(
            "header_files",
            Kind::Map(&Kind::Text),
            "{}",
            "headers whose values are secret: by name the file with the value, read anew for each batch",
        ),
        key("ca", Kind::Text, "none", "PEM file of the authorities that are believed; none: the system's"),
        key("timeout", Kind::Duration, "\"5s\"", "how long one batch may take, from connecting to the answer"),
        key("service_name", Kind::Text, "\"flaggate\"", "the resource attribute `service.name`"),
        key("resource", Kind::Map(&Kind::Text), "{}", "further attributes of the resource, like `k8s.pod.name`"),
        key(
            "sample",
            Kind::Text,
            "\"1%\"",
            "how many of the traces that begin here are recorded, like `\"0.1%\"`; others are recorded if their parent is",
        ),
        key(
            "accept_parent_from",
            Kind::Choice(&["trusted_proxies", "anyone", "nobody"]),
            "as `context.accept_identity_from`",
            "whose traces are continued; of others' there is a link in a trace that begins here",
        ),
        key("user_id", Kind::Boolean, "false", "whether spans name the user, in `feature_flag.context.id`"),
        key("queue", Kind::Size, "\"8MiB\"", "the memory of spans that wait; further ones are dropped and counted"),
    ],
    later: &[],
};

/// Spans of requests, and where they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Where they are posted, with the path.
    pub endpoint: Url,
    /// Headers that are sent along.
    pub headers: Vec<(HeaderName, TracingHeader)>,
    /// PEM file of the authorities that are believed; none: the system's.
    pub ca: Option<PathBuf>,
    /// How long one batch may take. Default 5 s.
    pub timeout: Duration,
    /// `service.name`. Default `flaggate`.
    pub service_name: String,
    /// Further attributes of the resource.
    pub resource: Vec<(String, String)>,
    /// How many of the traces that begin here are recorded. Default 1 %.
    pub sample: Share,
    /// Whose traces are continued. Default: whose identity headers are believed.
    pub accept_parent_from: AcceptIdentityFrom,
    /// Whether spans name the user. Default false.
    pub user_id: bool,
    /// The memory of spans that wait, in bytes. Default 8 MiB.
    pub queue: usize,
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TracingHeader {
    /// The value.
    Text(Secret),
    /// A file with it, read anew for each batch.
    File(PathBuf),
}

impl Tracing {
    /// `default` is whose traces are continued where the section does not say it.
    pub(super) fn check(checker: &mut Checker<'_>, root: &Table, default: AcceptIdentityFrom) -> Option<Self> {
        let (table, _) = root.table("tracing")?;
        let wanted = "a URL like \"http://127.0.0.1:4318\", without user, query and fragment";
        let endpoint = table.text("endpoint").and_then(|text| checker.parse(text, wanted, endpoint));
        let texts = |name: &str| {
            let entries = table.table(name).into_iter().flat_map(|(table, _)| &table.entries);
            entries.filter_map(|(name, node)| Some((name.as_str(), node.text()?, &node.at))).collect::<Vec<_>>()
        };
        let mut headers = Vec::new();
        for (name, value, at) in texts("headers") {
            if HeaderValue::from_str(value).is_err() {
                checker.problem(at, "a header cannot have this value");
            }
            let name = checker.header((name, at));
            headers.extend(name.map(|name| (name, TracingHeader::Text(Secret::new(value)))));
        }
        for (name, path, at) in texts("header_files") {
            let name = checker.header((name, at));
            headers.extend(name.map(|name| (name, TracingHeader::File(PathBuf::from(path)))));
        }
        let sample = table.text("sample").map(|text| checker.share(text));
        Some(Self {
            endpoint: endpoint?,
            headers,
            ca: table.text("ca").map(|(text, _)| PathBuf::from(text)),
            timeout: table.duration("timeout", Duration::from_secs(5)),
            service_name: table.text("service_name").map_or("flaggate", |(text, _)| text).to_owned(),
            resource: texts("resource")
                .into_iter()
                .map(|(name, value, _)| (name.to_owned(), value.to_owned()))
                .collect(),
            sample: sample.flatten().unwrap_or(Share::ONE_PERCENT),
            accept_parent_from: table.text("accept_parent_from").map_or(default, |(text, _)| match text {
                "anyone" => AcceptIdentityFrom::Anyone,
                "nobody" => AcceptIdentityFrom::Nobody,
                _ => AcceptIdentityFrom::TrustedProxies,
            }),
            user_id: table.boolean("user_id", false),
            queue: usize::try_from(table.size("queue", 8 << 20)).unwrap_or(usize::MAX),
        })
    }
}

fn endpoint(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let is_plain = matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty();
    if !is_plain || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    Some(url)
}
