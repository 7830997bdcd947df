//! The one canonical form of a path, used for matching and for forwarding.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Resolves dot segments, decodes what need not be encoded, and merges slashes if asked. `None`: the path is ambiguous (an
/// encoded slash or NUL, a backslash, a dot segment with parameters, a control or non-ASCII byte, a broken escape).
pub(super) fn canonical(path: &str, merge_slashes: bool) -> Option<Cow<'_, str>> {
    if !path.starts_with('/')
        || !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>'))
    {
        return None;
    }
    let decoded = decode(path)?;
    let has_segments = decoded.contains("/.") || (merge_slashes && decoded.contains("//"));
    if !has_segments {
        return Some(decoded);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ if segment.split(';').next().is_some_and(|name| matches!(name, "." | "..")) => return None,
            "" if merge_slashes && !last => {}
            _ => kept.push(segment),
        }
    }
    Some(Cow::Owned(format!("/{}", kept.join("/"))))
}

/// What follows a prefix in a path that is the prefix or below it: nothing, or a path. A segment's parameters (`;x=1`) do
/// not make it another one, as some upstreams leave them out and some do not.
pub(super) fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let mut rest = path;
    for wanted in prefix.trim_end_matches('/').split('/').skip(1) {
        let segments = rest.strip_prefix('/')?;
        let (segment, further) = segments.split_at(segments.find('/').unwrap_or(segments.len()));
        if segment != wanted && segment.split(';').next() != Some(wanted) {
            return None;
        }
        rest = further;
    }
    Some(rest)
}

/// Decodes unreserved letters, and writes the remaining escapes in upper case.
fn decode(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let escape = rest.get(at..at + 3)?;
        let byte =
            percent_decode_str(escape).next().filter(|_| escape[1..].bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        match byte {
            b'/' | b'\\' | 0..=0x1f | 0x7f => return None,
            b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => decoded.push(char::from(byte)),
            _ => decoded.push_str(&escape.to_ascii_uppercase()),
        }
        rest = &rest[at + 3..];
    }
    decoded.push_str(rest);
    Some(Cow::Owned(decoded))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_form_for_every_spelling() {
        for (path, merged) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("//", "/"),
            ("/a/./b/../c", "/a/c"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/%61/%2e%2E/b", "/b"),
            ("/a%20b%c3%a9", "/a%20b%C3%A9"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(canonical(path, true).as_deref(), Some(merged), "{path}");
        }
        assert_eq!(canonical("/a//b", false).as_deref(), Some("/a//b"));
        for path in [
            "",
            "a",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/%00",
            "/%0a",
            "/a/..;x/b",
            "/.;/a",
            "/%",
            "/%4",
            "/%zz",
            "/é",
            "/a b",
            "/a#b",
        ] {
            assert_eq!(canonical(path, true), None, "{path}");
        }
    }

    #[test]
    fn prefixes_end_at_a_segment() {
        for (path, prefix, rest) in [
            ("/a", "/", Some("/a")),
            ("/", "/", Some("/")),
            ("/a/b", "/a", Some("/b")),
            ("/a", "/a", Some("")),
            ("/a/", "/a", Some("/")),
            ("/ab", "/a", None),
            ("/a/b", "/a/", Some("/b")),
            ("/", "/a", None),
            ("/a;x=1", "/a", Some("")),
            ("/a;x=1/b;y", "/a", Some("/b;y")),
            ("/a;x/b;y/c", "/a/b", Some("/c")),
            ("/ab;x", "/a", None),
            ("/a;x/b", "/a;x", Some("/b")),
            ("/a/b", "/a;x", None),
            ("//a", "/a", None),
        ] {
            assert_eq!(below(path, prefix), rest, "{path} {prefix}");
        }
    }

    proptest! {
        #[test]
        fn canonical_is_idempotent(path in "/[a-c/.;%2eE5fF\\\\]{0,24}", merge in any::<bool>()) {
            if let Some(once) = canonical(&path, merge) {
                let again = canonical(&once, merge);
                prop_assert_eq!(again.as_deref(), Some(&*once));
                prop_assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")));
            }
        }
    }
}
