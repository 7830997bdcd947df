//! Long answers in pages: `?limit=` and `?cursor=`, and the link to the next page.

use std::fmt::Write as _;

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, header, request::Parts},
};

use super::refusal::{Issue, Refusal};

/// How many there are on all pages together.
pub(super) const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

/// The most that a page holds.
pub(super) const LONGEST_PAGE: usize = 1000;

/// The longest cursor that is read.
const LONGEST_CURSOR: usize = 4096;

/// Which page is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page {
    /// How many at most.
    pub(super) limit: Option<usize>,
    /// Behind which place; as it was told by the page before.
    pub(super) after: Option<String>,
    /// The path and the query without the cursor, for the link.
    base: String,
}

impl Page {
    fn parse(path: &str, query: &str) -> Result<Self, Refusal> {
        let mut page = Self::default();
        let mut issues = Vec::new();
        let mut others = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "limit" => match value.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit)) {
                    Some(limit) => page.limit = Some(limit),
                    None => issues.push(Issue::of_query("limit", "expected a number from 1 to 1000")),
                },
                "cursor" => match place(&value) {
                    Some(place) => page.after = Some(place),
                    None => issues.push(Issue::of_query("cursor", "expected the cursor of an answer")),
                },
                _ => {}
            }
            if name != "cursor" {
                others.append_pair(&name, &value);
            }
        }
        Refusal::of_issues(issues)?;
        page.base = format!("{path}?{}", others.finish());
        Ok(page)
    }

    /// The link to the page behind `place`.
    pub(super) fn next(&self, place: &str) -> (HeaderName, HeaderValue) {
        let joint = if self.base.ends_with('?') { "" } else { "&" };
        let link = format!("<{}{joint}cursor={}>; rel=\"next\"", self.base, cursor(place));
        (header::LINK, HeaderValue::from_str(&link).expect("a path and an encoded query are printable ASCII"))
    }
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::parse(parts.uri.path(), parts.uri.query().unwrap_or_default())
    }
}

/// What stands for a place, so that nobody takes it for something to make up.
pub(super) fn cursor(place: &str) -> String {
    place.bytes().fold(String::new(), |mut cursor, byte| {
        write!(cursor, "{byte:02x}").expect("writing to a string cannot fail");
        cursor
    })
}

/// Reads back what [`cursor`] says.
pub(super) fn place(cursor: &str) -> Option<String> {
    let is_hex = cursor.bytes().all(|digit| digit.is_ascii_hexdigit());
    if cursor.is_empty() || cursor.len() > LONGEST_CURSOR || !cursor.len().is_multiple_of(2) || !is_hex {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&cursor[at..at + 2], 16).ok();
    String::from_utf8((0..cursor.len()).step_by(2).map(byte).collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_lead_back() {
        for text in ["a", "é/:\n", "\0"] {
            assert_eq!(place(&cursor(text)).as_deref(), Some(text));
        }
        for wrong in ["", "a", "zz", "ff", "é", "+1", &"61".repeat(LONGEST_CURSOR)] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn pages_and_links() {
        let page = Page::parse("/flags", "q=a%20b&limit=2&cursor=61&tags=x").unwrap();
        assert_eq!((page.limit, page.after.as_deref()), (Some(2), Some("a")));
        assert_eq!(page.next("b").1, "</flags?q=a+b&limit=2&tags=x&cursor=62>; rel=\"next\"");
        assert_eq!(Page::parse("/a", "").unwrap().next("b").1, "</a?cursor=62>; rel=\"next\"");
        for wrong in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "cursor=x", "cursor="] {
            assert!(Page::parse("/flags", wrong).is_err(), "{wrong}");
        }
    }
}
