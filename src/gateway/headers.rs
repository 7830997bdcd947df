//! What the upstream is told, and what of the client's headers is not passed on.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::baggage::BAGGAGE;
use crate::{
    config::{Config, Inject},
    eval::{Evaluation, Segment},
    model::is_writable_key,
    telemetry::Trace,
};

/// The longest flags header, in bytes; it is cut at a whole entry.
const MAX_FLAGS_BYTES: usize = 8 << 10;

/// Headers of one hop, never passed on by a proxy (RFC 9110, 7.6.1). pingora itself handles framing and upgrades.
const HOP_BY_HOP: [&str; 4] = ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"];

/// The names that the gateway alone may set towards an upstream.
#[derive(Debug)]
pub(super) struct Protected(Vec<HeaderName>);

impl Protected {
    pub(super) fn new(config: &Config) -> Self {
        let Inject {
            user_id,
            user_segments,
            segments: _,
            user_context,
            context_attributes: _,
            flags,
            route,
            request_id,
            baggage,
        } = &config.inject;
        let own = [user_id, user_segments, user_context, flags, route, request_id].map(Clone::clone);
        let forwarded = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-real-ip"];
        let flags = config.routes.iter().flat_map(|route| &route.flag_headers).map(|own| own.header.clone());
        // The gateway itself says which trace a request belongs to.
        let traced = Trace::header_names().into_iter().filter(|_| config.tracing.is_some());
        let said = own.into_iter().chain(forwarded.map(HeaderName::from_static)).chain(flags).chain(traced);
        Self(said.chain(baggage.then_some(BAGGAGE)).collect())
    }

    /// Whether the client's copy of a header is dropped: it is protected, in any spelling, or of one hop.
    pub(super) fn drops(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        let ours = |prefix: &str| name.len() > prefix.len() && spells(&name.as_bytes()[..prefix.len()], prefix);
        ours("x-flag-")
            || ours("x-flaggate-")
            || self.0.iter().any(|known| spells(name.as_bytes(), known.as_str()))
            || HOP_BY_HOP.contains(&name)
    }
}

/// Whether a name is the known one to somebody who takes every sign for the same, as CGI and its heirs do.
fn spells(name: &[u8], known: &str) -> bool {
    let same = |seen: &u8, known| *seen == known || (known == b'-' && !seen.is_ascii_alphanumeric());
    name.len() == known.len() && name.iter().zip(known.bytes()).all(|(seen, known)| same(seen, known))
}

/// The headers that a `Connection` header nominates (RFC 9110, 7.6.1): they end at this hop.
pub(super) fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all("connection").iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok());
    names.filter(|name| !matches!(name.as_str(), "close" | "keep-alive" | "upgrade")).collect()
}

/// A structured-field dictionary (RFC 9651) of flags: booleans as `?1` and `?0`, numbers, and strings. A flag whose key
/// cannot be a dictionary key, even in lower case, is left out, and so is JSON. Says whether it was cut.
pub(super) fn flags<'f>(evaluations: impl Iterator<Item = (&'f str, Evaluation<'f>)>) -> (String, bool) {
    let mut text = String::with_capacity(128);
    for (key, evaluation) in evaluations {
        let whole = text.len();
        if whole > 0 {
            text.push_str(", ");
        }
        let start = text.len();
        text.push_str(key);
        text[start..].make_ascii_lowercase();
        let is_entry = is_key(&text[start..]) && {
            text.push('=');
            write_item(evaluation.value(), &mut text)
        };
        let too_long = text.len() > MAX_FLAGS_BYTES;
        if !is_entry || too_long {
            text.truncate(whole);
        }
        if is_entry && too_long {
            return (text, true);
        }
    }
    (text, false)
}

fn is_key(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_lowercase() || first == '*')
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte))
}

/// Writes a value as a structured-field item; `false`: it cannot be one, and what was written does not count.
fn write_item(value: &Value, out: &mut String) -> bool {
    match value {
        Value::Bool(flag) => out.push_str(if *flag { "?1" } else { "?0" }),
        Value::Number(number) => match number.as_i64().filter(|whole| whole.abs() < 1_000_000_000_000_000) {
            Some(whole) => write!(out, "{whole}").expect("a string can be written to"),
            None => match number.as_f64().filter(|number| number.abs() < 1e12) {
                Some(number) => out.push_str(&decimal(number)),
                None => return false,
            },
        },
        Value::String(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            out.push('"');
            for letter in text.chars() {
                if matches!(letter, '"' | '\\') {
                    out.push('\\');
                }
                out.push(letter);
            }
            out.push('"');
        }
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => return false,
    }
    true
}

/// A structured-field decimal: at most three digits after the point, at least one.
fn decimal(number: f64) -> String {
    let text = format!("{number:.3}");
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

/// The ids of segments, separated by commas. An id that a header cannot carry unmistakably is left out.
pub(super) fn segments(segments: &[&Segment]) -> String {
    let ids = segments.iter().map(|segment| segment.id()).filter(|id| is_writable_key(id));
    let mut text = String::new();
    for id in ids {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(id);
    }
    text
}

/// Attributes as base64url JSON.
pub(super) fn context(attributes: Map<String, Value>) -> String {
    URL_SAFE_NO_PAD.encode(Value::Object(attributes).to_string())
}

/// A header value, or none where the text is not visible ASCII and spaces.
pub(super) fn value(text: &str) -> Option<HeaderValue> {
    let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if visible { HeaderValue::from_str(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn protected_names_are_dropped_in_every_spelling() {
        let protected = Protected::new(&Config::for_testing());
        for name in [
            "X-User-Id",
            "x_user_id",
            "X-Flags",
            "x_flags",
            "X-Flag-Theme",
            "x_flag_theme",
            "X-Flaggate-Route",
            "x-forwarded-for",
            "X-Forwarded_Proto",
            "X.User.Id",
            "x-user~id",
            "x!flag-theme",
            "Keep-Alive",
        ] {
            assert!(protected.drops(&name.parse().unwrap()), "{name}");
        }
        for name in ["x-user", "x-flagship", "accept", "x-flag-", "cookie"] {
            assert!(!protected.drops(&name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn items() {
        for (value, text) in [
            (json!(true), Some("?1")),
            (json!(42), Some("42")),
            (json!(1.0), Some("1.0")),
            (json!(2.5), Some("2.5")),
            (json!("a \"b\" \\"), Some("\"a \\\"b\\\" \\\\\"")),
            (json!("é"), None),
            (json!("a\r\nb"), None),
            (json!({}), None),
            (json!(1e300), None),
        ] {
            let mut written = String::new();
            let is_item = write_item(&value, &mut written);
            assert_eq!(is_item.then_some(written.as_str()), text, "{value}");
        }
        assert!(is_key("new-search.v2") && !is_key("2fa") && !is_key("a b"));
    }

    #[test]
    fn nominated_headers_end_here() {
        let mut headers = HeaderMap::new();
        headers.append("connection", "close, X-User-Id".parse().unwrap());
        headers.append("connection", "upgrade,x-other".parse().unwrap());
        assert_eq!(nominated(&headers), ["x-user-id", "x-other"]);
    }
}
