//! Conditional requests: the tag of a document's state, and what a client expects it to be (RFC 9110, section 13).

use std::fmt;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
};
use sha2::{Digest as _, Sha256};

use super::refusal::Refusal;
use crate::store::Stored;

/// The strong entity tag of a stored document: its revision, and a print of its text. The print tells a document from
/// one of the same key that was removed: both count their revisions from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

/// What a client expects a document to be, by `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Conditions {
    matching: Option<Tags>,
    none_matching: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq)]
enum Tags {
    /// `*`
    Any,
    /// The opaque tags, quoted, and whether each is weak.
    Listed(Vec<(String, bool)>),
}

impl Tag {
    pub(super) fn new(revision: u64, text: &str) -> Self {
        let print = Sha256::digest(text.as_bytes());
        let [a, b, c, d] = [print[0], print[1], print[2], print[3]];
        Self(format!("\"r{revision}-{a:02x}{b:02x}{c:02x}{d:02x}\""))
    }

    pub(super) fn of(stored: &Stored) -> Self {
        Self::new(stored.revision, &stored.text)
    }

    /// The header that tells it.
    pub(super) fn header(&self) -> (HeaderName, HeaderValue) {
        let value = HeaderValue::from_str(&self.0).expect("a tag is printable ASCII");
        (header::ETAG, value)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Conditions {
    fn parse(headers: &HeaderMap) -> Result<Self, Refusal> {
        Ok(Self {
            matching: Tags::parse(headers, &header::IF_MATCH)?,
            none_matching: Tags::parse(headers, &header::IF_NONE_MATCH)?,
        })
    }

    /// Whether the document that is there, or its absence, is what the client expects; 412 if not.
    pub(super) fn check(&self, current: Option<&Tag>) -> Result<(), Refusal> {
        let matching = self.matching.as_ref().is_none_or(|tags| tags.name(current, false));
        let none_matching = self.none_matching.as_ref().is_none_or(|tags| !tags.name(current, true));
        if matching && none_matching { Ok(()) } else { Err(Refusal::Changed(current.cloned())) }
    }

    /// Whether a reader has the document already, so that 304 is all that it needs; 412 if `If-Match` fails.
    pub(super) fn is_known(&self, current: &Tag) -> Result<bool, Refusal> {
        Self { matching: self.matching.clone(), none_matching: None }.check(Some(current))?;
        Ok(self.none_matching.as_ref().is_some_and(|tags| tags.name(Some(current), true)))
    }
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::parse(&parts.headers)
    }
}

impl Tags {
    /// The tags of a header, all its lines together; `None` when it is absent.
    fn parse(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Refusal> {
        let mut lines = headers.get_all(name).iter().peekable();
        if lines.peek().is_none() {
            return Ok(None);
        }
        let mut listed = Vec::new();
        let mut any = false;
        for line in lines {
            let refused = || {
                let detail = format!("{name} is neither `*` nor a list of quoted tags such as \"r7-0a1b2c3d\"");
                Refusal::Status(StatusCode::BAD_REQUEST, detail)
            };
            let line = line.to_str().map_err(|_| refused())?;
            if line.trim() == "*" {
                any = true;
            } else {
                listed.extend(list(line).ok_or_else(refused)?);
            }
        }
        Ok(Some(if any { Self::Any } else { Self::Listed(listed) }))
    }

    /// Whether they name what is there. A weak tag counts for readers only.
    fn name(&self, current: Option<&Tag>, weak_counts: bool) -> bool {
        let Some(current) = current else { return false };
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|(tag, weak)| *tag == current.0 && (weak_counts || !weak)),
        }
    }
}

/// Reads `"a", W/"b"`; a comma may stand within quotes.
fn list(text: &str) -> Option<Vec<(String, bool)>> {
    let mut tags = Vec::new();
    let mut rest = text.trim_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
        let end = quoted.strip_prefix('"')?.find('"')? + 2;
        tags.push((quoted[..end].to_owned(), weak));
        let after = quoted[end..].trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    (!tags.is_empty()).then_some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(lines: &[(HeaderName, &str)]) -> Option<Conditions> {
        let headers = lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        Conditions::parse(&headers.collect()).ok()
    }

    #[test]
    fn what_is_expected() {
        let tag = Tag::new(7, "{}");
        assert_eq!(tag.to_string(), "\"r7-44136fa3\"");
        for (header, value, there, absent) in [
            (header::IF_MATCH, "*", true, false),
            (header::IF_MATCH, "\"r7-44136fa3\"", true, false),
            (header::IF_MATCH, "\"r7-00000000\"", false, false),
            (header::IF_MATCH, "\"x,y\" , \"r7-44136fa3\"", true, false),
            (header::IF_MATCH, "W/\"r7-44136fa3\"", false, false),
            (header::IF_NONE_MATCH, "*", false, true),
            (header::IF_NONE_MATCH, "W/\"r7-44136fa3\"", false, true),
            (header::IF_NONE_MATCH, "\"r6-44136fa3\", \"b\",", true, true),
        ] {
            let conditions = conditions(&[(header.clone(), value)]).unwrap();
            let holds = |current| conditions.check(current).is_ok();
            assert_eq!((holds(Some(&tag)), holds(None)), (there, absent), "{header}: {value}");
        }
        let lines = [(header::IF_MATCH, "\"a\""), (header::IF_MATCH, "\"r7-44136fa3\"")];
        assert!(conditions(&lines).unwrap().check(Some(&tag)).is_ok(), "all lines count");
        assert!(conditions(&[]).unwrap().check(None).is_ok());
    }

    #[test]
    fn what_is_no_list_of_tags() {
        for wrong in ["", "r7", "\"a", "\"a\" \"b\"", "w/\"a\"", "\"a\", *", ",", "'a'"] {
            assert_eq!(conditions(&[(header::IF_MATCH, wrong)]), None, "{wrong:?}");
        }
    }
}
