//! What the gateway takes, whatever the route: everything ambiguous is refused.

use http::{HeaderValue, Method};
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

/// Checks what is the same for every route; gives the host in lower case and without its port.
pub(super) fn admissible(header: &RequestHeader) -> Result<String, Refusal> {
    if matches!(header.method, Method::TRACE | Method::CONNECT) {
        return Err((405, "this method is not taken"));
    }
    let authority_bytes = header.uri.authority().map_or(0, |authority| authority.as_str().len());
    let path_bytes = header.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if authority_bytes + path_bytes > MAX_URL_BYTES {
        return Err((414, "the URL is longer than 8 KiB"));
    }
    let bytes: usize = header.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if header.headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err((431, "there are more than 100 header fields, or more than 64 KiB of them"));
    }
    if header.headers.keys().any(|name| name.as_str().contains('_')) {
        return Err((400, "a header's name has an underscore"));
    }
    let lengths: SmallVec<[&HeaderValue; 2]> = header.headers.get_all("content-length").iter().collect();
    let canonical = lengths.iter().all(|length| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit));
    if lengths.len() > 1 || !canonical || (!lengths.is_empty() && header.headers.contains_key("transfer-encoding")) {
        return Err((400, "the length of the body is ambiguous"));
    }
    let mut hosts = header.headers.get_all("host").iter().filter_map(|host| host.to_str().ok());
    let authority = header.uri.authority().map(http::uri::Authority::as_str);
    let host = match (hosts.next(), hosts.next(), authority) {
        (Some(host), None, None) => host,
        (Some(host), None, Some(authority)) if host.eq_ignore_ascii_case(authority) => host,
        (None, None, Some(authority)) => authority,
        _ => return Err((400, "there must be exactly one Host")),
    };
    let authority: http::uri::Authority = host.parse().map_err(|_| (400, "the Host is not valid"))?;
    if host.contains('@') || authority.host().is_empty() {
        return Err((400, "the Host is not valid"));
    }
    Ok(authority.host().to_ascii_lowercase())
}
