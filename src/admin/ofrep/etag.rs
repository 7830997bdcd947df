//! Validators: of one bulk answer, and of the flags that it was made from.

use std::io::Write;

use axum::http::{HeaderMap, header};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::model::WorldRevision;

/// How many bytes of the digest are told.
const BYTES: usize = 16;

/// Numbers up to here are exact as floating-point ones, so that `1` and `1.0` are one number.
const EXACT: u64 = 1 << 53;

/// The strong entity tag of a bulk answer, quoted: over the revision, the context in one canonical form, and the answer
/// itself, which the gateway's environment, the user's profile and the time have a say in.
pub(super) fn of_answer(
    revision: &WorldRevision,
    user_id: &str,
    attributes: &Map<String, Value>,
    answer: &[u8],
) -> String {
    let mut canonical = Vec::new();
    write_text(&revision.to_string(), &mut canonical);
    write_text(user_id, &mut canonical);
    write_object(attributes, &mut canonical);
    let digest = Sha256::new_with_prefix(canonical).chain_update(answer).finalize();
    let hex: String = digest.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Whether `If-None-Match` names `etag`: in a list, weakly, or without the quotes that some clients drop.
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).any(|known| {
        let known = known.strip_prefix("W/").unwrap_or(known);
        known == "*" || known == etag || known == etag.trim_matches('"')
    })
}

/// Reads the validator that an event told: the revision's text, quoted or not.
pub(super) fn revision(told: &str) -> Option<WorldRevision> {
    let (epoch, number) = told.trim_matches('"').rsplit_once(':')?;
    Some(WorldRevision { epoch: epoch.into(), number: number.parse().ok()? })
}

/// Objects by name, numbers in one form, no spaces.
fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(flag) => out.extend(if *flag { &b"true"[..] } else { b"false" }),
        Value::Number(number) => {
            let is_exact = number.is_f64() || number.as_i64().is_some_and(|whole| whole.unsigned_abs() <= EXACT);
            match number.as_f64().filter(|_| is_exact) {
                // Adding nothing makes the two zeros one.
                Some(number) => write!(out, "{:e}", number + 0.0),
                None => write!(out, "{number}"),
            }
            .expect("memory takes everything");
        }
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                write(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Object(fields) => write_object(fields, out),
    }
}

fn write_object(fields: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    out.push(b'{');
    for (name, value) in fields {
        write_text(name, out);
        write(value, out);
        out.push(b',');
    }
    out.push(b'}');
}

/// A text with its length before it, so that no two lists of texts look alike.
fn write_text(text: &str, out: &mut Vec<u8>) {
    write!(out, "{}\"{text}", text.len()).expect("memory takes everything");
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn tag(number: u64, user_id: &str, attributes: &Value, answer: &str) -> String {
        let revision = WorldRevision { epoch: "e".into(), number };
        of_answer(&revision, user_id, attributes.as_object().unwrap(), answer.as_bytes())
    }

    #[test]
    fn a_tag_is_one_of_revision_context_and_answer() {
        let attributes = json!({ "a": 1, "b": { "c": [true, null, "x"], "d": 0.5 } });
        let first = tag(1, "ann", &attributes, "[]");
        assert_eq!((first.len(), first.trim_matches('"').len()), (34, 32));
        let alike = json!({ "b": { "d": 5e-1, "c": [true, null, "x"] }, "a": 1.0 });
        assert_eq!(tag(1, "ann", &alike, "[]"), first);
        for other in [
            tag(2, "ann", &attributes, "[]"),
            tag(1, "bob", &attributes, "[]"),
            tag(1, "ann", &json!({ "a": 1 }), "[]"),
            tag(1, "ann", &json!({ "a": 1, "b": { "c": [true, null, "x"], "d": "0.5" } }), "[]"),
            tag(1, "ann", &json!({ "a": 1, "b": { "c": [true, "x", null], "d": 0.5 } }), "[]"),
            tag(1, "ann", &attributes, "[1]"),
        ] {
            assert_ne!(other, first);
        }
        let large = |number: u64| tag(1, "", &json!({ "n": number }), "");
        assert_ne!(large(EXACT), large(EXACT + 1));
        assert_ne!(large(u64::MAX), large(u64::MAX - 1));
        assert_eq!(tag(1, "", &json!({ "n": 0 }), ""), tag(1, "", &json!({ "n": -0.0 }), ""));
        assert_ne!(tag(1, "", &json!({ "a": "", "b": "" }), ""), tag(1, "", &json!({ "a": "1\"b" }), ""));
    }

    #[test]
    fn lists_of_known_tags() {
        for (lists, known) in [
            (&[r#""ab""#][..], true),
            (&[r#"W/"ab""#], true),
            (&["ab"], true),
            (&["*"], true),
            (&[r#""x", W/"y" ,"ab""#], true),
            (&[r#""x""#, r#""ab""#], true),
            (&[r#""x""#], false),
            (&[r#""abc""#], false),
            (&["", ","], false),
            (&[], false),
        ] {
            let values = lists.iter().map(|list| (header::IF_NONE_MATCH, HeaderValue::from_static(list)));
            let mut headers = HeaderMap::new();
            for (name, value) in values {
                headers.append(name, value);
            }
            assert_eq!(is_known(&headers, r#""ab""#), known, "{lists:?}");
        }
    }

    #[test]
    fn revisions() {
        let revision = |told| super::revision(told).map(|revision| revision.to_string());
        for told in ["e:1", "\"e:1\""] {
            assert_eq!(revision(told).as_deref(), Some("e:1"));
        }
        for told in ["", "e", "e:", "e:x", "e:-1"] {
            assert_eq!(revision(told), None, "{told}");
        }
    }
}
