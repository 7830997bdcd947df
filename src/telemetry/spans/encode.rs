//! The spans of a request as OTLP wants them (opentelemetry-proto 1.x, `trace.proto`), with the names of OpenTelemetry's
//! semantic conventions for HTTP and feature flags.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;

use super::{
    context::{SpanId, Trace},
    wire::{Field, Fields, Wire},
};
use crate::{
    config::Tracing,
    model::{Detail, Reason},
    telemetry::ObservedFlag,
};

/// Bytes of a path or a host that are sent.
const LONGEST_TEXT: usize = 1024;

/// Flags that one span tells of at most.
const MOST_FLAGS: usize = 64;

const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const ERROR: u64 = 2;

/// The bits that say that it is known whether the parent is remote, and that it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// What the spans of a request that is over say.
#[derive(Debug)]
pub struct RequestSpans<'a> {
    /// Its place in the trace.
    pub trace: &'a Trace,
    /// When its header had been read.
    pub time: Timestamp,
    /// From the header to the end of the response.
    pub duration: Duration,
    /// The method.
    pub method: &'a Method,
    /// The protocol's version: `1.1`.
    pub version: &'static str,
    /// Host and port as the client named them.
    pub authority: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// The status of the response; none where the client went away before there was one.
    pub status: Option<u16>,
    /// What went wrong, in one word.
    pub failure: Option<&'static str>,
    /// Its id, as the upstream saw it.
    pub request_id: &'a str,
    /// The route that matched: its name, and the path that it takes.
    pub route: Option<(&'a str, &'a str)>,
    /// The strategy that chose the upstream.
    pub strategy: Option<&'static str>,
    /// The upstream.
    pub upstream: Option<&'a str>,
    /// The call to an endpoint, if there was one.
    pub call: Option<Try<'a>>,
    /// The revision of the flags.
    pub revision: Option<u64>,
    /// Where the flags are set: `production`.
    pub environment: Option<&'a str>,
    /// Who asked, if that is told.
    pub user_id: Option<&'a str>,
    /// What the flags gave.
    pub flags: &'a [ObservedFlag<'a>],
}

/// The last try of a request at an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Try<'a> {
    /// `host:port` of the endpoint.
    pub endpoint: &'a str,
    /// From the request's header to the try.
    pub after: Duration,
    /// How many tries there were before it.
    pub before: usize,
    /// The status that the endpoint answered.
    pub status: Option<u16>,
}

impl RequestSpans<'_> {
    /// Encodes the spans as fields of the message `ScopeSpans`, and says how many there are.
    pub(super) fn encode(&self) -> (Vec<u8>, usize) {
        let mut wire = Wire(Vec::with_capacity(1024 + 256 * self.flags.len().min(MOST_FLAGS)));
        wire.message(2, |span| self.server_span(span));
        if let Some(call) = &self.call {
            wire.message(2, |span| self.client_span(span, call));
        }
        (wire.0, 1 + usize::from(self.call.is_some()))
    }

    fn server_span(&self, span: &mut Wire) {
        let Trace { parent, link, flags, server, .. } = self.trace;
        let remote = if parent.is_some() { HAS_IS_REMOTE | IS_REMOTE } else { HAS_IS_REMOTE };
        self.head(span, *server, *parent, u32::from(*flags) | remote);
        let method = known(self.method);
        let route = self.route.map(|(_, path)| path);
        span.message(5, |name| {
            name.0.extend_from_slice(method.unwrap_or("HTTP").as_bytes());
            if let Some(path) = route {
                name.0.push(b' ');
                name.0.extend_from_slice(shortened(path).as_bytes());
            }
        });
        self.times(span, SERVER, Duration::ZERO);
        self.method_attributes(span, method);
        attribute(span, "url.path", shortened(self.path));
        attribute(span, "url.scheme", "http");
        address_attributes(span, self.authority);
        attribute(span, "network.protocol.version", self.version);
        attributes(span, [("http.route", route), ("flaggate.route", self.route.map(|(name, _)| name))]);
        attributes(span, [("flaggate.strategy", self.strategy), ("flaggate.upstream", self.upstream)]);
        attribute(span, "flaggate.request_id", self.request_id);
        number_attribute(span, "flaggate.revision", self.revision);
        number_attribute(span, "http.response.status_code", self.status.map(u64::from));
        let failed = self.status.filter(|status| *status >= 500);
        error(span, self.failure, failed, self.failure.is_some_and(|_| failed.is_some() || self.status.is_none()));
        let version = self.revision.map(|revision| revision.to_string());
        for flag in self.flags.iter().take(MOST_FLAGS) {
            span.message(11, |event| self.evaluation(event, flag, version.as_deref()));
        }
        if self.flags.len() > MOST_FLAGS {
            span.number(12, (self.flags.len() - MOST_FLAGS) as u64);
        }
        if let Some(other) = link {
            span.message(13, |link| {
                link.bytes(1, other.trace.bytes());
                link.bytes(2, &other.span.0);
                link.fixed32(6, u32::from(other.flags) | HAS_IS_REMOTE | IS_REMOTE);
            });
        }
    }

    fn client_span(&self, span: &mut Wire, call: &Try<'_>) {
        let trace = self.trace;
        self.head(span, trace.client, Some(trace.server), u32::from(trace.flags) | HAS_IS_REMOTE);
        let method = known(self.method);
        span.text(5, method.unwrap_or("HTTP"));
        self.times(span, CLIENT, call.after);
        self.method_attributes(span, method);
        let url = ["http://", call.endpoint, shortened(self.path)].concat();
        attribute(span, "url.full", &url);
        address_attributes(span, call.endpoint);
        attributes(span, [("flaggate.upstream", self.upstream)]);
        number_attribute(span, "http.request.resend_count", Some(call.before as u64).filter(|before| *before > 0));
        number_attribute(span, "http.response.status_code", call.status.map(u64::from));
        let failed = call.status.filter(|status| *status >= 400);
        error(span, self.failure, failed, self.failure.is_some());
    }

    /// The ids, and what tracing systems said.
    fn head(&self, span: &mut Wire, id: SpanId, parent: Option<SpanId>, flags: u32) {
        span.bytes(1, self.trace.id.bytes());
        span.bytes(2, &id.0);
        if let Some(state) = self.trace.state.as_ref().and_then(|state| state.to_str().ok()) {
            span.text(3, state);
        }
        if let Some(parent) = parent {
            span.bytes(4, &parent.0);
        }
        span.fixed32(16, flags);
    }

    fn times(&self, span: &mut Wire, kind: u64, after: Duration) {
        let start = nanos(self.time);
        span.number(6, kind);
        span.fixed64(7, start + whole(after));
        span.fixed64(8, start + whole(self.duration.max(after)));
    }

    fn method_attributes(&self, span: &mut Wire, known: Option<&str>) {
        attribute(span, "http.request.method", known.unwrap_or("_OTHER"));
        if known.is_none() {
            attribute(span, "http.request.method_original", self.method.as_str());
        }
    }

    fn evaluation(&self, event: &mut Wire, flag: &ObservedFlag<'_>, version: Option<&str>) {
        event.fixed64(1, nanos(self.time));
        event.text(2, "feature_flag.evaluation");
        let mut tell = |name: &str, text: &str| event.message(3, |pair| key_value(pair, name, text));
        tell("feature_flag.key", flag.key);
        tell("feature_flag.result.variant", flag.variation);
        tell("feature_flag.result.reason", reason(flag.reason, flag.detail));
        tell("feature_flag.provider.name", "flaggate");
        tell("flaggate.reason", flag.reason.as_str());
        if let Some(detail) = flag.detail {
            tell("flaggate.detail", detail.as_str());
        }
        if let Some(version) = version {
            tell("feature_flag.version", version);
        }
        if let Some(environment) = self.environment {
            tell("feature_flag.set.id", environment);
        }
        if let Some(user_id) = self.user_id {
            tell("feature_flag.context.id", shortened(user_id));
        }
        if is_damaged(flag.detail) {
            tell("error.type", "parse_error");
        }
    }
}

/// The body of a request for an export: what is encoded of many requests, behind what is the same for all.
///
/// `instance` tells this process from the others of the service.
#[must_use]
pub fn request_body<'s>(
    config: &Tracing,
    instance: &str,
    environment: Option<&str>,
    spans: impl Iterator<Item = &'s [u8]>,
) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let mut wire = Wire::default();
    wire.message(1, |resource_spans| {
        resource_spans.message(1, |resource| {
            let mut tell = |name: &str, text: &str| resource.message(1, |pair| key_value(pair, name, text));
            tell("service.name", &config.service_name);
            tell("service.version", version);
            tell("service.instance.id", instance);
            if let Some(environment) = environment {
                tell("deployment.environment.name", environment);
            }
            for (name, text) in &config.resource {
                tell(name, text);
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.text(1, "flaggate");
                scope.text(2, version);
            });
            for encoded in spans {
                scope_spans.0.extend_from_slice(encoded);
            }
        });
    });
    wire.0
}

/// How many spans a collector refused, by its answer (`ExportTraceServiceResponse.partial_success`).
#[must_use]
pub fn partial_success(answer: &[u8]) -> u64 {
    let partial = Fields(answer).filter_map(|(field, value)| match value {
        Field::Bytes(bytes) if field == 1 => Some(bytes),
        Field::Bytes(_) | Field::Number(_) | Field::Other => None,
    });
    let rejected = partial.flat_map(Fields).filter_map(|(field, value)| match value {
        Field::Number(number) if field == 1 => i64::try_from(number).ok()?.try_into().ok(),
        Field::Number(_) | Field::Bytes(_) | Field::Other => None,
    });
    rejected.last().unwrap_or(0)
}

/// The methods that the conventions know; a span's name must not grow with what clients make up.
fn known(method: &Method) -> Option<&str> {
    let name = method.as_str();
    let is_known = matches!(
        name,
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" | "QUERY"
    );
    is_known.then_some(name)
}

/// The conventions' word for a reason.
fn reason(reason: Reason, detail: Option<Detail>) -> &'static str {
    match reason {
        _ if is_damaged(detail) => "error",
        Reason::Killed | Reason::FlagDisabled | Reason::ParentDisabled => "disabled",
        Reason::TargetingMatch => "targeting_match",
        Reason::Rollout => "split",
        Reason::PrerequisitesNotMet | Reason::Default => "default",
    }
}

fn is_damaged(detail: Option<Detail>) -> bool {
    match detail {
        Some(Detail::Quarantined) => true,
        Some(Detail::Cycle | Detail::BucketAttributeAbsent) | None => false,
    }
}

/// `error.type` and the status of a span that failed: `status` is one that is an error.
fn error(span: &mut Wire, failure: Option<&str>, status: Option<u16>, is_failure: bool) {
    let kind = match (failure.filter(|_| is_failure), status) {
        (Some(code), _) => code.to_owned(),
        (None, Some(status)) => status.to_string(),
        (None, None) => return,
    };
    attribute(span, "error.type", &kind);
    span.message(15, |status| status.number(3, ERROR));
}

fn address_attributes(span: &mut Wire, authority: &str) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok()),
        Some(_) | None => (authority, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if !host.is_empty() {
        attribute(span, "server.address", shortened(host));
    }
    number_attribute(span, "server.port", port.map(u64::from));
}

fn attributes<const N: usize>(span: &mut Wire, pairs: [(&str, Option<&str>); N]) {
    for (name, text) in pairs {
        if let Some(text) = text {
            attribute(span, name, text);
        }
    }
}

fn attribute(span: &mut Wire, name: &str, text: &str) {
    span.message(9, |pair| key_value(pair, name, text));
}

fn number_attribute(span: &mut Wire, name: &str, number: Option<u64>) {
    if let Some(number) = number {
        span.message(9, |pair| {
            pair.text(1, name);
            pair.message(2, |value| value.number(3, number));
        });
    }
}

fn key_value(pair: &mut Wire, name: &str, text: &str) {
    pair.text(1, name);
    pair.message(2, |value| value.text(1, text));
}

fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_spans_are_read() {
        for (answer, rejected) in [
            (&[][..], 0),
            (&[0x0a, 0], 0),
            (&[0x0a, 2, 8, 7], 7),
            (&[0x0a, 6, 8, 0xac, 2, 0x12, 1, b'x'], 300),
            (b"not protobuf", 0),
            // A negative count is nonsense.
            (&[0x0a, 11, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], 0),
        ] {
            assert_eq!(partial_success(answer), rejected, "{answer:?}");
        }
    }
}
