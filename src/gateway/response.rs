//! What is changed in an upstream's response before the client gets it.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE, VARY},
};
use pingora::{Result, http::ResponseHeader};
use smallvec::SmallVec;

use super::context::Asked;
use crate::config::{AttributeSource, ContextConfig, IdentitySource};

/// What the gateway calls itself.
pub(super) const SERVER_NAME: HeaderValue = HeaderValue::from_static("flaggate");

/// Headers that are meant for one connection only. `Transfer-Encoding` is not among them: pingora reads it to frame
/// the body anew.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "upgrade"];

/// The request headers that a response depends on, for `Vary`.
#[derive(Debug)]
pub(super) struct Vary {
    names: Vec<String>,
    /// All names in one value, for a response that has no `Vary` of its own.
    joined: Option<HeaderValue>,
}

impl Vary {
    /// What answers depend on whose user and attributes are read so.
    pub(super) fn of(context: &ContextConfig) -> Self {
        Self::new(identity_headers(context))
    }

    /// `names` are those of headers, each once.
    fn new(names: Vec<String>) -> Self {
        let joined = HeaderValue::from_str(&names.join(", ")).ok().filter(|_| !names.is_empty());
        Self { names, joined }
    }

    /// Adds the names to `Vary`, each once; `Vary: *` says it all already.
    ///
    /// # Errors
    /// Never in practice: the inserted header is valid.
    pub(super) fn add_to(&self, response: &mut ResponseHeader, asked: Asked) -> Result<()> {
        if asked.client {
            // No request says where it came from in a way that a cache could compare.
            return response.insert_header("Vary", "*");
        }
        let is_usual = asked == Asked::default();
        if let (Some(joined), true, false) = (&self.joined, is_usual, response.headers.contains_key(VARY)) {
            return response.insert_header("Vary", joined.clone());
        }
        let known: Vec<String> =
            response.headers.get_all(VARY).iter().flat_map(tokens).map(str::to_ascii_lowercase).collect();
        if known.iter().any(|name| name == "*") {
            return Ok(());
        }
        let besides = [("user-agent", asked.user_agent), ("accept-language", asked.accept_language)];
        let besides = besides.into_iter().filter_map(|(name, is_asked)| is_asked.then_some(name));
        let names = self.names.iter().map(String::as_str).chain(besides);
        for name in names.filter(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name))) {
            response.append_header("Vary", name)?;
        }
        Ok(())
    }
}

/// The headers from which the user and the attributes are read.
fn identity_headers(context: &ContextConfig) -> Vec<String> {
    let users = context.user_id.iter().filter_map(|source| match source {
        IdentitySource::Header(name) => Some(name.to_string()),
        IdentitySource::Cookie(_) | IdentitySource::AnonymousCookie(_) => Some("cookie".to_owned()),
        IdentitySource::Jwt(_) => None,
    });
    // Whoever needs a token needs it where it may be.
    let jwt = context.jwt.iter().filter(|_| context.asks_for_claims());
    let tokens = jwt.flat_map(|jwt| [Some(jwt.header.to_string()), jwt.cookie.as_ref().map(|_| "cookie".to_owned())]);
    let attributes = context.attributes.values().filter_map(|attribute| match &attribute.source {
        AttributeSource::Header(name) => Some(name.to_string()),
        AttributeSource::Cookie(_) => Some("cookie".to_owned()),
        AttributeSource::Query(_) | AttributeSource::Jwt(_) => None,
    });
    let mut names: Vec<String> = users.chain(tokens.flatten()).chain(attributes).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Keeps an answer with a cookie for one user out of caches that others use: `Cache-Control: private`, unless the upstream
/// said so, or `no-store`.
///
/// # Errors
/// Never in practice: the inserted header is valid.
pub(super) fn keep_private(response: &mut ResponseHeader) -> Result<()> {
    let given: Vec<&str> = response.headers.get_all(CACHE_CONTROL).iter().flat_map(tokens).collect();
    let is = |directive: &str, name: &str| directive.eq_ignore_ascii_case(name);
    if given.iter().any(|directive| is(directive, "private") || is(directive, "no-store")) {
        return Ok(());
    }
    let is_shared = |directive: &str| {
        let name = directive.split('=').next().unwrap_or_default();
        ["public", "s-maxage", "proxy-revalidate", "private"].iter().any(|shared| is(name, shared))
    };
    let kept = given.into_iter().filter(|directive| !is_shared(directive));
    let directives: Vec<&str> = ["private"].into_iter().chain(kept).collect();
    let directives = directives.join(", ");
    response.insert_header(CACHE_CONTROL, directives)
}

/// Removes what is not for the client: hop-by-hop headers and those that the upstream nominated in `Connection`.
/// An upgrade keeps what makes it one.
///
/// # Errors
/// Never in practice: the inserted headers are valid.
pub(super) fn clean(response: &mut ResponseHeader) -> Result<()> {
    let upgrade = (response.status == StatusCode::SWITCHING_PROTOCOLS).then(|| response.headers.get(UPGRADE).cloned());
    let mut unwanted = nominated(&response.headers);
    unwanted.extend(response.headers.keys().filter(|name| HOP_BY_HOP.contains(&name.as_str())).cloned());
    for name in &unwanted {
        response.remove_header(name);
    }
    if let Some(protocol) = upgrade.flatten() {
        response.insert_header(CONNECTION, "Upgrade")?;
        response.insert_header(UPGRADE, protocol)?;
    }
    response.insert_header("Server", SERVER_NAME)
}

/// The headers that `Connection` names, but for those without which a message cannot be read.
fn nominated(headers: &HeaderMap) -> SmallVec<[HeaderName; 4]> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter(|token| !token.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| ![CONTENT_LENGTH, TRANSFER_ENCODING, HOST].contains(name))
        .collect()
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    fn cleaned(status: u16, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut response = response(status, headers);
        clean(&mut response).unwrap();
        let mut lines: Vec<String> =
            response.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_is_for_one_connection_is_removed() {
        let headers = [
            ("Connection", "X-Secret, keep-alive, Content-Length"),
            ("Connection", "X-Other"),
            ("Keep-Alive", "timeout=5"),
            ("X-Secret", "1"),
            ("x-other", "2"),
            ("Upgrade", "h2c"),
            ("Content-Length", "3"),
            ("Server", "nginx"),
            ("X-Kept", "4"),
        ];
        assert_eq!(cleaned(200, &headers), ["content-length: 3", "server: flaggate", "x-kept: 4"]);
    }

    #[test]
    fn an_upgrade_stays_one() {
        let headers = [("Connection", "upgrade, X-Secret"), ("Upgrade", "websocket"), ("X-Secret", "1")];
        assert_eq!(cleaned(101, &headers), ["connection: Upgrade", "server: flaggate", "upgrade: websocket"]);
    }

    fn varied(headers: &[(&'static str, &'static str)], names: &[&str]) -> Vec<String> {
        let mut response = response(200, headers);
        let vary = Vary::new(names.iter().map(|name| (*name).to_owned()).collect());
        vary.add_to(&mut response, Asked::default()).unwrap();
        response.headers.get_all(VARY).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn vary_names_each_header_once() {
        let names = ["cookie", "x-user-id"];
        assert_eq!(varied(&[], &names), ["cookie, x-user-id"]);
        assert_eq!(varied(&[("Vary", "Accept-Encoding, Cookie")], &names), ["Accept-Encoding, Cookie", "x-user-id"]);
        assert_eq!(varied(&[], &[]), [""; 0]);
    }

    #[test]
    fn a_cookie_is_kept_from_shared_caches() {
        for (given, expected) in [
            (&[][..], &["private"][..]),
            (&["public, max-age=60"], &["private, max-age=60"]),
            (&["S-MaxAge=9", "must-revalidate"], &["private, must-revalidate"]),
            (&["no-cache"], &["private, no-cache"]),
            (&["private, max-age=5"], &["private, max-age=5"]),
            (&["No-Store"], &["No-Store"]),
            (&["private=\"x-a\", max-age=5"], &["private, max-age=5"]),
        ] {
            let headers: Vec<_> = given.iter().map(|value| ("Cache-Control", *value)).collect();
            let mut response = response(200, &headers);
            keep_private(&mut response).unwrap();
            let told: Vec<_> =
                response.headers.get_all(CACHE_CONTROL).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(told, expected, "{given:?}");
        }
    }

    #[test]
    fn what_was_asked_for_besides_is_named() {
        let vary = Vary::new(vec!["cookie".to_owned()]);
        let told = |asked: Asked| {
            let mut response = response(200, &[("Vary", "Accept-Language")]);
            vary.add_to(&mut response, asked).unwrap();
            response.headers.get_all(VARY).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let asked = Asked { user_agent: true, accept_language: true, client: false };
        assert_eq!(told(asked), ["Accept-Language", "cookie", "user-agent"]);
        assert_eq!(told(Asked { client: true, ..asked }), ["*"]);
    }

    #[test]
    fn vary_of_everything_stays() {
        assert_eq!(varied(&[("Vary", "*")], &["cookie"]), ["*"]);
    }
}
