//! What the gateway takes, whatever the route: everything ambiguous is refused.

use std::net::Ipv6Addr;

use http::{
    HeaderMap, HeaderValue, Method, Version,
    header::{COOKIE, HOST, TRANSFER_ENCODING},
};
use pingora::http::RequestHeader;
use smallvec::SmallVec;

/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 8 << 10;
/// The most header fields.
const MAX_HEADERS: usize = 100;
/// The most bytes of header fields.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Why a request is refused: the status and what the client is told.
pub(super) type Refusal = (u16, &'static str);

/// Of a head that is too large.
pub(super) const TOO_MANY_HEADERS: Refusal =
    (431, "there are more than 100 header fields, or more than 64 KiB of them");

/// Gives a request of HTTP/2 the form that it would have in HTTP/1.1: with a `Host`, a target that is a path, and one
/// `Cookie` (RFC 9113, 8.2.3 and 8.3.1). What follows need not know of the difference.
pub(super) fn as_http1(header: &mut RequestHeader) -> Result<(), Refusal> {
    if header.version != Version::HTTP_2 {
        return Ok(());
    }
    if let Some(authority) = header.uri.authority() {
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| (400, "the Host is not valid"))?;
        if !header.headers.contains_key(HOST) {
            header.insert_header(HOST, authority).map_err(|_| (400, "the Host is not valid"))?;
        }
    }
    let mut cookies = header.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    if let (Some(first), Some(second)) = (cookies.next(), cookies.next()) {
        let all: SmallVec<[&[u8]; 8]> = [first, second].into_iter().chain(cookies).collect();
        let joined = HeaderValue::from_bytes(&all.join(&b"; "[..])).map_err(|_| (400, "a cookie is not valid"))?;
        drop(all);
        header.insert_header(COOKIE, joined).map_err(|_| (400, "a cookie is not valid"))?;
    }
    Ok(())
}

/// Checks what is the same for every route; gives the host in lower case and without its port.
pub(super) fn admissible(header: &RequestHeader) -> Result<String, Refusal> {
    if !is_taken(&header.method) {
        return Err((405, "this method is not taken"));
    }
    let authority_bytes = header.uri.authority().map_or(0, |authority| authority.as_str().len());
    let path_bytes = header.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if authority_bytes + path_bytes > MAX_URL_BYTES {
        return Err((414, "the URL is longer than 8 KiB"));
    }
    let bytes: usize = header.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if header.headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(TOO_MANY_HEADERS);
    }
    if header.headers.keys().any(|name| name.as_str().contains('_')) {
        return Err((400, "a header's name has an underscore"));
    }
    let lengths: SmallVec<[&HeaderValue; 2]> = header.headers.get_all("content-length").iter().collect();
    let canonical = lengths.iter().all(|length| is_canonical(length.as_bytes()));
    let is_coded = header.headers.contains_key(TRANSFER_ENCODING);
    if lengths.len() > 1 || !canonical || (is_coded && !(lengths.is_empty() && is_chunked_once(&header.headers))) {
        return Err((400, "the length of the body is ambiguous"));
    }
    if !has_path(header) {
        return Err((400, "what is asked for is neither a path nor the URL of this host"));
    }
    let mut hosts = header.headers.get_all("host").iter().filter_map(|host| host.to_str().ok());
    let authority = header.uri.authority().map(http::uri::Authority::as_str);
    let host = match (hosts.next(), hosts.next(), authority) {
        (Some(host), None, None) => host,
        (Some(host), None, Some(authority)) if host.eq_ignore_ascii_case(authority) => host,
        (None, None, Some(authority)) => authority,
        _ => return Err((400, "there must be exactly one Host")),
    };
    host_of(host).map(str::to_ascii_lowercase).ok_or((400, "the Host is not valid"))
}

/// The host of `host[:port]`: a name of letters, digits, dashes and underscores, or an address.
fn host_of(text: &str) -> Option<&str> {
    let end = text.find(']').map_or_else(|| text.find(':'), |end| Some(end + 1)).unwrap_or(text.len());
    let (host, port) = text.split_at(end);
    let is_port =
        |port: &str| port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.len() <= 253 && host.split('.').all(is_label),
    };
    (is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))).then_some(host)
}

/// The methods that are taken besides those that everybody knows: the others of the IANA registry, but `PRI`.
const METHODS: [&str; 30] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Whether a method is taken: a registered one that neither shows the request to its client nor opens a tunnel. Methods are
/// case-sensitive.
fn is_taken(method: &Method) -> bool {
    let is_known = matches!(
        *method,
        Method::GET | Method::POST | Method::PUT | Method::DELETE | Method::HEAD | Method::OPTIONS | Method::PATCH
    );
    is_known || METHODS.contains(&method.as_str())
}

/// Whether a length is written in the one way that everybody reads alike.
fn is_canonical(length: &[u8]) -> bool {
    !length.is_empty() && length.iter().all(u8::is_ascii_digit) && (length.len() == 1 || length[0] != b'0')
}

/// The codings that may come before `chunked`; a recipient that knows no such coding must not guess where the body ends.
const CODINGS: [&str; 6] = ["gzip", "x-gzip", "deflate", "compress", "x-compress", "identity"];

/// Whether the body is chunked, last of all and once: who reads it otherwise would see another end of it.
fn is_chunked_once(headers: &HeaderMap) -> bool {
    let mut is_chunked = false;
    for value in headers.get_all(TRANSFER_ENCODING) {
        let Ok(value) = value.to_str() else { return false };
        for coding in value.split(',').map(str::trim) {
            let is_known = CODINGS.iter().any(|known| coding.eq_ignore_ascii_case(known));
            if is_chunked || !(is_known || coding.eq_ignore_ascii_case("chunked")) {
                return false;
            }
            is_chunked = !is_known;
        }
    }
    is_chunked
}

/// Says several codings in one header: some recipients look at one of several only.
pub(super) fn join_codings(header: &mut RequestHeader) -> Result<(), Refusal> {
    let mut codings = header.headers.get_all(TRANSFER_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let (Some(first), Some(second)) = (codings.next(), codings.next()) else { return Ok(()) };
    let joined = codings.fold(format!("{first}, {second}"), |joined, coding| format!("{joined}, {coding}"));
    header.insert_header(TRANSFER_ENCODING, joined).map_err(|_| (400, "the length of the body is ambiguous"))
}

/// Whether a path is asked for, by itself or as a part of a URL. pingora makes "/" of what it cannot read.
fn has_path(header: &RequestHeader) -> bool {
    let target = header.raw_path();
    let starts = |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    header.version == Version::HTTP_2 || target.starts_with(b"/") || starts(b"http://") || starts(b"https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for (text, host) in [
            ("shop.example", "shop.example"),
            ("Shop.Example:8080", "Shop.Example"),
            ("a_b-c.example:1", "a_b-c.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("127.0.0.1:65535", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[2001:db8::1]:8080", "[2001:db8::1]"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(host_of(text), Some(host), "{text}");
        }
        let long = format!("{}example", "a.".repeat(124));
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a:",
            "a:0",
            "a:65536",
            "a:99999",
            "a:x",
            "a:-1",
            "a:+1",
            "a:1:2",
            ":80",
            "a b",
            "u@a",
            "u:p@a",
            "a/b",
            "a?b",
            "a#b",
            "a%2eb",
            "a,b",
            "a;b",
            "a\\b",
            "[",
            "[]",
            "]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[::1]:x",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "[gg::]",
            "a]",
            "*.example",
            "é",
            &long,
        ] {
            assert_eq!(host_of(text), None, "{text}");
        }
    }
}
