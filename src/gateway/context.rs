//! Who is asking: the user id and the attributes of a request.

use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, request::Parts};
use jiff::Timestamp;
use serde_json::{Map, Value};
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    forwarded::scheme,
    request::Taken,
    token::{Tokens, Verified},
};
use crate::{
    config::{AttributeConfig, AttributeKind, AttributeSource, ContextConfig, IdentitySource},
    model::{Attribute, Attributes},
};

/// What a request can be asked for who sent it.
#[derive(Clone, Copy)]
pub(super) struct Asker<'r> {
    pub(super) config: &'r ContextConfig,
    pub(super) request: &'r Parts,
    pub(super) taken: &'r Taken,
    pub(super) tokens: Option<&'r Tokens>,
    pub(super) now: Timestamp,
}

/// The attributes of one request, read when they are asked for and borrowed from it where possible.
pub(super) struct RequestAttributes<'r> {
    asker: Asker<'r>,
    /// By the position of the attribute in the configuration.
    read: SmallVec<[OnceCell<Option<Read<'r>>>; 8]>,
    asked: Cell<Asked>,
}

/// What was asked for that the configuration does not name, as far as an answer in a cache must tell of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) user_agent: bool,
    pub(super) accept_language: bool,
    pub(super) client: bool,
}

enum Read<'r> {
    Text(Cow<'r, str>),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Value),
    Claim(&'r Value),
}

/// The user, and the cookie to set for one that was unknown.
pub(super) struct Identity<'r> {
    pub(super) user_id: Cow<'r, str>,
    pub(super) set_cookie: Option<String>,
}

impl<'r> Asker<'r> {
    /// Finds out who asks.
    pub(super) fn identify(self) -> Identity<'r> {
        let known = |user_id: Cow<'r, str>| Identity { user_id, set_cookie: None };
        let headers = &self.request.headers;
        for source in &self.config.user_id {
            let found = match source {
                IdentitySource::Header(name) => self.header(name).map(Cow::Borrowed),
                IdentitySource::Jwt(path) => self.claim(path).and_then(as_id),
                IdentitySource::Cookie(name) => self.cookie(name).map(Cow::Borrowed),
                IdentitySource::AnonymousCookie(name) => {
                    // An id that the gateway drew proves nothing more than "the same browser", so it is believed from
                    // anyone.
                    let drawn = cookie(headers, name).filter(|id| Uuid::try_parse(id).is_ok());
                    if drawn.is_none() {
                        let id = Uuid::new_v4().to_string();
                        let secure = if scheme(self.request, self.taken) == "https" { "Secure; " } else { "" };
                        let cookie = format!("{name}={id}; Path=/; Max-Age=31536000; {secure}HttpOnly; SameSite=Lax");
                        return Identity { user_id: id.into(), set_cookie: Some(cookie) };
                    }
                    drawn.map(Cow::Borrowed)
                }
            };
            if let Some(user_id) = found {
                return known(user_id);
            }
        }
        known(Cow::Borrowed(""))
    }

    /// A header, if this peer is believed.
    fn header(self, name: &http::HeaderName) -> Option<&'r str> {
        header(&self.request.headers, name).filter(|_| self.taken.trusted)
    }

    /// A cookie, if this peer is believed.
    fn cookie(self, name: &str) -> Option<&'r str> {
        cookie(&self.request.headers, name).filter(|_| self.taken.trusted)
    }

    /// A claim of the request's token. It proves itself, so it is believed from anyone.
    fn claim(self, path: &str) -> Option<&'r Value> {
        self.token()?.claim(path)
    }

    fn token(self) -> Option<&'r Verified> {
        self.taken.token(self.tokens?, &self.request.headers, self.now)?.as_deref().ok()
    }

    fn read(self, attribute: &AttributeConfig) -> Option<Read<'r>> {
        let text = match &attribute.source {
            AttributeSource::Header(name) => self.header(name).map(Cow::Borrowed),
            AttributeSource::Cookie(name) => self.cookie(name).map(Cow::Borrowed),
            AttributeSource::Query(name) => query(self.request, name),
            AttributeSource::Jwt(path) => return self.claim(path).and_then(|claim| of_claim(claim, attribute.kind)),
        };
        text.and_then(|text| parse(text, attribute.kind))
    }
}

/// An id as a claim has it: a string, or a whole number.
fn as_id(claim: &Value) -> Option<Cow<'_, str>> {
    match claim {
        Value::String(id) => Some(Cow::Borrowed(id.trim())).filter(|id| !id.is_empty()),
        Value::Number(id) if id.is_i64() || id.is_u64() => Some(Cow::Owned(id.to_string())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A claim as what an attribute is to be: a text is parsed, all else must be of that kind already.
fn of_claim(claim: &Value, kind: AttributeKind) -> Option<Read<'_>> {
    match (kind, claim) {
        (AttributeKind::AsIs, claim) => Some(Read::Claim(claim)),
        (kind, Value::String(text)) => parse(Cow::Borrowed(text), kind),
        (AttributeKind::Number, Value::Number(_))
        | (AttributeKind::Boolean, Value::Bool(_))
        | (AttributeKind::List, Value::Array(_)) => Some(Read::Claim(claim)),
        (AttributeKind::String, Value::Number(_) | Value::Bool(_)) => Some(Read::Text(Cow::Owned(claim.to_string()))),
        (AttributeKind::String | AttributeKind::Number | AttributeKind::Boolean | AttributeKind::List, _) => None,
    }
}

impl<'r> RequestAttributes<'r> {
    pub(super) fn new(asker: Asker<'r>) -> Self {
        let read = asker.config.attributes.iter().map(|_| OnceCell::new()).collect();
        Self { asker, read, asked: Cell::default() }
    }

    /// What was asked for that the configuration does not name.
    pub(super) fn asked(&self) -> Asked {
        self.asked.get()
    }

    fn look_up(&self, name: &str) -> Option<Attribute<'_>> {
        let configured = self.asker.config.attributes.iter().zip(&self.read).find(|((known, _), _)| *known == name);
        if let Some(((_, attribute), read)) = configured
            && let Some(value) = read.get_or_init(|| self.asker.read(attribute))
        {
            return match value {
                Read::Text(text) => Some(Attribute::Text(text)),
                Read::Integer(number) => Some(Attribute::Integer(*number)),
                Read::Float(number) => Some(Attribute::Float(*number)),
                Read::Bool(flag) => Some(Attribute::Bool(*flag)),
                Read::List(list) => Some(Attribute::Json(list)),
                Read::Claim(claim) => Attribute::from_json(claim),
            };
        }
        let Asker { config, request, taken, .. } = self.asker;
        let text = match name {
            "request.path" => Some(&*taken.path),
            "request.method" => Some(request.method.as_str()),
            "request.host" => Some(&*taken.host),
            "client.ip" => Some(&*taken.client),
            "user_agent" => header(&request.headers, "user-agent"),
            "accept_language" => header(&request.headers, "accept-language"),
            "environment" => config.environment.as_deref(),
            "region" => config.region.as_deref(),
            "tls.sni" => taken.asked_for.as_deref(),
            _ => None,
        };
        text.map(Attribute::Text)
    }

    fn note(&self, name: &str) {
        let asked = self.asked.get();
        match name {
            "user_agent" => self.asked.set(Asked { user_agent: true, ..asked }),
            "accept_language" => self.asked.set(Asked { accept_language: true, ..asked }),
            "client.ip" => self.asked.set(Asked { client: true, ..asked }),
            _ => {}
        }
    }
}

/// What the request itself says, whatever the configuration.
const BUILT_IN: [&str; 9] = [
    "request.path",
    "request.method",
    "request.host",
    "client.ip",
    "user_agent",
    "accept_language",
    "environment",
    "region",
    "tls.sni",
];

/// Attributes that can be listed.
pub(super) trait AllAttributes {
    /// All attributes that are there, those of the configuration first.
    fn all(&self) -> Map<String, Value>;
}

impl AllAttributes for RequestAttributes<'_> {
    fn all(&self) -> Map<String, Value> {
        let configured = self.asker.config.attributes.keys().map(String::as_str);
        let unknown = |name: &&str| !self.asker.config.attributes.contains_key(*name);
        let named = configured.chain(BUILT_IN.into_iter().filter(unknown));
        named.filter_map(|name| Some((name.to_owned(), self.look_up(name)?.to_json()))).collect()
    }
}

impl Attributes for RequestAttributes<'_> {
    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        self.note(name);
        self.look_up(name)
    }
}

/// The address of the client: `X-Forwarded-For` from right to left, for as long as who added to it is a trusted proxy. What
/// is no address, with a port perhaps, ends the walk: whoever is to the left of it cannot be told.
pub(super) fn client_address(headers: &HeaderMap, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.to_canonical();
    let values = headers.get_all("x-forwarded-for").iter().rev();
    // A value that is no text is one hop that is no address.
    let hops = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        let Some(address) = address(hop.trim()).filter(|_| is_trusted(client)) else { break };
        client = address.to_canonical();
    }
    client
}

/// `1.2.3.4`, `2001:db8::1`, `[2001:db8::1]`, and the first and the last with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let plain = bare.map_or_else(|| text.parse().ok(), |text| text.parse().ok().map(IpAddr::V6));
    plain.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

pub(super) fn header(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn cookie<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
    let all =
        headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let mut pairs = all.filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.find(|(known, _)| *known == name).map(|(_, value)| value)?;
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (!bare.is_empty()).then_some(bare)
}

fn query<'r>(request: &'r Parts, name: &str) -> Option<Cow<'r, str>> {
    form_urlencoded::parse(request.uri.query()?.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value)
}

fn parse(text: Cow<'_, str>, kind: AttributeKind) -> Option<Read<'_>> {
    match kind {
        AttributeKind::String | AttributeKind::AsIs => Some(Read::Text(text)),
        AttributeKind::Number => match text.trim().parse::<i64>() {
            Ok(whole) => Some(Read::Integer(whole)),
            Err(_) => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Read::Float),
        },
        AttributeKind::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(Read::Bool(true)),
            "false" | "0" | "no" | "off" => Some(Read::Bool(false)),
            _ => None,
        },
        AttributeKind::List => {
            Some(Read::List(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("/a?q=b%20c&n=2");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn config() -> ContextConfig {
        let text = r#"
            listeners = [{ name = "web", address = "127.0.0.1:0" }]
            upstreams.u.endpoints = [{ address = "127.0.0.1:9" }]
            routes = [{ name = "all", upstream = "u" }]
            [context]
            user_id = [{ header = "X-User-Id" }, { cookie = "uid" }, { anonymous_cookie = "anon" }]
            [context.attributes]
            age = { header = "X-Age", type = "number" }
            beta = { cookie = "beta", type = "boolean" }
            q = { query = "q" }
            roles = { header = "X-Roles", type = "list" }
        "#;
        crate::config::Config::parse("t", text, std::iter::empty()).unwrap().context
    }

    fn asker<'r>(config: &'r ContextConfig, request: &'r Parts, taken: &'r Taken) -> Asker<'r> {
        Asker { config, request, taken, tokens: None, now: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn identity_is_believed_from_the_trusted_only() {
        let config = config();
        let [stranger, proxy] = [false, true].map(Taken::for_testing);
        let identify = |request, trusted| asker(&config, request, if trusted { &proxy } else { &stranger }).identify();
        let id = "0190aaaa-0000-4000-8000-000000000001";
        let cookies = format!("x=1; uid=\"bob\"; anon={id}");
        let known = request(&[("x-user-id", "ann"), ("cookie", &cookies)]);
        assert_eq!(identify(&known, true).user_id, "ann");
        assert_eq!(identify(&known, false).user_id, id);
        let by_cookie = request(&[("cookie", "a=b"), ("cookie", &cookies)]);
        assert_eq!(identify(&by_cookie, true).user_id, "bob");
        let forged = request(&[("cookie", "anon=admin")]);
        let drawn = identify(&forged, false);
        assert!(Uuid::try_parse(&drawn.user_id).is_ok());
        assert_eq!(
            drawn.set_cookie.unwrap(),
            format!("anon={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", drawn.user_id)
        );
        let over_https = request(&[("x-forwarded-proto", "https")]);
        assert!(!identify(&over_https, false).set_cookie.unwrap().contains("Secure"), "anybody can say so");
        assert!(identify(&over_https, true).set_cookie.unwrap().contains("; Secure; HttpOnly; "));
        let encrypted = Taken { is_encrypted: true, ..stranger.clone() };
        let drawn = asker(&config, &forged, &encrypted).identify();
        assert!(drawn.set_cookie.unwrap().contains("; Secure; HttpOnly; "));
    }

    #[test]
    fn attributes_have_types() {
        let config = config();
        let parts = request(&[("x-age", " 42 "), ("cookie", "beta=Yes"), ("x-roles", "a, b,,c")]);
        let seen = |trusted: bool, name: &str| {
            let taken = Taken::for_testing(trusted);
            RequestAttributes::new(asker(&config, &parts, &taken)).attribute(name).map(Attribute::to_json)
        };
        assert_eq!(seen(true, "age"), Some(42.into()));
        assert_eq!(seen(true, "beta"), Some(true.into()));
        assert_eq!(seen(true, "roles"), Some(serde_json::json!(["a", "b", "c"])));
        assert_eq!((seen(false, "age"), seen(false, "q")), (None, Some("b c".into())));
        assert_eq!(
            (seen(false, "request.method"), seen(false, "client.ip")),
            (Some("GET".into()), Some("192.0.2.1".into()))
        );
    }
}
