//! What a client with the right to it is told of its decision.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{request::Seen, upstream::Upstreams};
use crate::config::Explain;

/// What the client shows. It never reaches an upstream, as no `X-Flaggate-` header of a client does.
const ASKED: HeaderName = HeaderName::from_static("x-flaggate-explain");

/// What it is told.
pub(super) const DECISION: &str = "X-Flaggate-Decision";

/// The longest decision, in bytes; it is cut at a whole flag.
const LONGEST: usize = 8 << 10;

/// Whether a request shows a token that holds.
pub(super) fn may_see(config: &Explain, headers: &HeaderMap, now: Timestamp) -> bool {
    if config.tokens.is_empty() {
        return false;
    }
    let mut values = headers.get_all(ASKED).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let digest = Sha256::digest(value.as_bytes());
    // All are compared, each in the same time, whichever it is.
    config.tokens.iter().fold(false, |known, token| {
        let is_this = bool::from(digest[..].ct_eq(&token.sha256)) & token.expires_at.is_none_or(|end| now < end);
        known | is_this
    })
}

/// A decision as a structured-field dictionary (RFC 9651).
pub(super) fn decision(seen: &Seen<'_>, upstreams: &Upstreams) -> Option<HeaderValue> {
    let revision = seen.snapshot.revision().map_or(0, |revision| revision.number);
    let mut text = format!("revision={revision}");
    let decision = seen.decision;
    let named = [
        ("route", &*seen.route.name),
        ("strategy", decision.strategy),
        ("upstream", upstreams.name(decision.upstream)),
        ("user", seen.context.user_id),
    ];
    for (name, value) in named {
        text.push_str(", ");
        text.push_str(name);
        text.push('=');
        quote(value, &mut text);
    }
    for (name, is_so) in [("drawn", seen.is_drawn), ("fell_back", decision.fell_back)] {
        if is_so {
            write!(text, ", {name}").expect("a string can be written to");
        }
    }
    text.push_str(", flags=(");
    for (number, given) in seen.flags.given().iter().enumerate() {
        let Some((flag, evaluation)) = given.resolve(seen.snapshot) else { continue };
        let whole = text.len();
        if number > 0 {
            text.push(' ');
        }
        quote(flag.key(), &mut text);
        text.push_str(";variation=");
        quote(evaluation.variation(), &mut text);
        text.push_str(";reason=");
        quote(evaluation.reason.as_str(), &mut text);
        if text.len() >= LONGEST {
            text.truncate(whole);
            break;
        }
    }
    text.push(')');
    HeaderValue::from_str(&text).ok()
}

/// A string as RFC 9651 has it; what it cannot have becomes a question mark.
fn quote(value: &str, out: &mut String) {
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            ' '..='~' => out.push(letter),
            _ => out.push('?'),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ExplainToken;

    #[test]
    fn who_may_see() {
        let token = |name: &str, token: &str, expires_at: Option<&str>| ExplainToken {
            name: name.to_owned(),
            sha256: Sha256::digest(token).into(),
            expires_at: expires_at.map(|time| time.parse().unwrap()),
        };
        let config =
            Explain { tokens: vec![token("qa", "one", None), token("old", "two", Some("2026-01-01T00:00:00Z"))] };
        let now = |time: &str| time.parse::<Timestamp>().unwrap();
        for (values, at, expected) in [
            (&["one"][..], "2027-01-01T00:00:00Z", true),
            (&["two"], "2025-12-31T23:59:59Z", true),
            (&["two"], "2026-01-01T00:00:00Z", false),
            (&["three"], "2025-01-01T00:00:00Z", false),
            (&[""], "2025-01-01T00:00:00Z", false),
            (&[], "2025-01-01T00:00:00Z", false),
            (&["one", "one"], "2025-01-01T00:00:00Z", false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ASKED, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(may_see(&config, &headers, now(at)), expected, "{values:?} {at}");
            assert!(!may_see(&Explain::default(), &headers, now(at)));
        }
    }

    #[test]
    fn strings_are_quoted() {
        let mut text = String::new();
        quote("a \"b\" \\ \u{e9}\r\n", &mut text);
        assert_eq!(text, r#""a \"b\" \\ ???""#);
    }
}
