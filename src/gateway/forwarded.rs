//! What the upstream is told of the way here, and the path that it gets.

use http::{HeaderName, request::Parts};
use pingora::http::RequestHeader;

use super::{
    failure::Failure,
    path,
    request::{Prepared, Taken, refused},
};
use crate::config::Route;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// `X-Forwarded-For`, `-Proto` and `-Host`: continued from a trusted proxy, begun anew for anyone else.
pub(super) fn forwarded(request: &Parts, taken: &Taken, prepared: &mut Prepared) {
    if taken.is_proxy {
        prepared.tell(&FORWARDED_FOR, &hops(request, taken));
    } else {
        prepared.tell(&FORWARDED_FOR, &taken.client);
    }
    prepared.tell(&FORWARDED_PROTO, scheme(request, taken));
    prepared.tell(&FORWARDED_HOST, before(request, taken, &FORWARDED_HOST).unwrap_or(&taken.host));
}

/// Who came before a trusted proxy, and the proxy. Several lines are one list (RFC 9110, 5.3); one that is no text leaves
/// unknown who came before it.
fn hops(request: &Parts, taken: &Taken) -> String {
    let mut hops = String::new();
    for line in request.headers.get_all(&FORWARDED_FOR) {
        match line.to_str() {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => hops.extend([&*line.replace('\t', " "), ", "]),
            Err(_) => hops.clear(),
        }
    }
    hops + &taken.peer.to_string()
}

/// How the client speaks: what a trusted proxy says, else what this listener does.
pub(super) fn scheme<'r>(request: &'r Parts, taken: &Taken) -> &'r str {
    let own = if taken.is_encrypted { "https" } else { "http" };
    before(request, taken, &FORWARDED_PROTO).unwrap_or(own)
}

/// What a trusted proxy says.
fn before<'r>(request: &'r Parts, taken: &Taken, name: &HeaderName) -> Option<&'r str> {
    request.headers.get(name).and_then(|value| value.to_str().ok()).filter(|_| taken.is_proxy)
}

/// Puts the path that is forwarded into the request.
pub(super) fn rewrite(header: &mut RequestHeader, route: &Route, path: &str) -> Result<(), Failure> {
    let forwarded = route.rewrite.strip_prefix.as_ref().and_then(|prefix| path::below(path, prefix)).unwrap_or(path);
    let separator = if forwarded.starts_with('/') { "" } else { "/" };
    if separator.is_empty() && forwarded == header.uri.path() {
        return Ok(());
    }
    let query = header.uri.query().map_or(String::new(), |query| format!("?{query}"));
    let uri = [separator, forwarded, &query].concat();
    header.set_uri(uri.parse().map_err(|_| refused((400, "the path is ambiguous")))?);
    Ok(())
}
