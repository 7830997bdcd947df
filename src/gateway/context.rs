//! Who is asking: the user id and the attributes of a request.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, request::Parts};
use serde_json::{Map, Value};
use smallvec::SmallVec;
use uuid::Uuid;

use super::request::Taken;
use crate::{
    config::{AttributeKind, AttributeSource, ContextConfig, IdentitySource},
    model::{Attribute, Attributes},
};

/// The attributes of one request, borrowed from it where possible.
pub(super) struct RequestAttributes<'r> {
    config: &'r ContextConfig,
    request: &'r Parts,
    taken: &'r Taken,
    read: SmallVec<[(&'r str, Read<'r>); 8]>,
}

enum Read<'r> {
    Text(Cow<'r, str>),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Value),
}

/// The user, and the cookie to set for one that was unknown.
pub(super) struct Identity<'r> {
    pub(super) user_id: Cow<'r, str>,
    pub(super) set_cookie: Option<String>,
}

/// Finds out who asks. `trusted`: identity headers and cookies of this peer are believed.
pub(super) fn identify<'r>(config: &'r ContextConfig, request: &'r Parts, trusted: bool) -> Identity<'r> {
    let known = |user_id: Cow<'r, str>| Identity { user_id, set_cookie: None };
    for source in &config.user_id {
        let found = match source {
            IdentitySource::Header(name) => header(&request.headers, name).filter(|_| trusted).map(Cow::Borrowed),
            IdentitySource::Cookie(name) => cookie(&request.headers, name).filter(|_| trusted).map(Cow::Borrowed),
            IdentitySource::AnonymousCookie(name) => {
                // An id that the gateway drew proves nothing more than "the same browser", so it is believed from anyone.
                let drawn = cookie(&request.headers, name).filter(|id| Uuid::try_parse(id).is_ok());
                if drawn.is_none() {
                    let id = Uuid::new_v4().to_string();
                    let set_cookie = Some(format!("{name}={id}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"));
                    return Identity { user_id: id.into(), set_cookie };
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

impl<'r> RequestAttributes<'r> {
    pub(super) fn new(config: &'r ContextConfig, request: &'r Parts, taken: &'r Taken) -> Self {
        let trusted = taken.trusted;
        let mut read = SmallVec::new();
        for (name, attribute) in &config.attributes {
            let text = match &attribute.source {
                AttributeSource::Header(name) => header(&request.headers, name).filter(|_| trusted).map(Cow::Borrowed),
                AttributeSource::Cookie(name) => cookie(&request.headers, name).filter(|_| trusted).map(Cow::Borrowed),
                AttributeSource::Query(name) => query(request, name),
            };
            if let Some(value) = text.and_then(|text| parse(text, attribute.kind)) {
                read.push((name.as_str(), value));
            }
        }
        Self { config, request, taken, read }
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
        let configured = self.read.iter().map(|(name, _)| *name);
        let named = configured.chain(BUILT_IN);
        named.filter_map(|name| Some((name.to_owned(), self.attribute(name)?.to_json()))).collect()
    }
}

impl Attributes for RequestAttributes<'_> {
    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        if let Some((_, value)) = self.read.iter().find(|(known, _)| *known == name) {
            return Some(match value {
                Read::Text(text) => Attribute::Text(text),
                Read::Integer(number) => Attribute::Integer(*number),
                Read::Float(number) => Attribute::Float(*number),
                Read::Bool(flag) => Attribute::Bool(*flag),
                Read::List(list) => Attribute::Json(list),
            });
        }
        let text = match name {
            "request.path" => Some(&*self.taken.path),
            "request.method" => Some(self.request.method.as_str()),
            "request.host" => Some(&*self.taken.host),
            "client.ip" => Some(&*self.taken.client),
            "user_agent" => header(&self.request.headers, "user-agent"),
            "accept_language" => header(&self.request.headers, "accept-language"),
            "environment" => self.config.environment.as_deref(),
            "region" => self.config.region.as_deref(),
            "tls.sni" => self.taken.asked_for.as_deref(),
            _ => None,
        };
        text.map(Attribute::Text)
    }
}

/// The address of the client: `X-Forwarded-For` from right to left over trusted proxies.
pub(super) fn client_address(headers: &HeaderMap, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.to_canonical();
    let listed: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for hop in listed.into_iter().rev() {
        let Some(address) = hop.trim().parse::<IpAddr>().ok().filter(|_| is_trusted(client)) else { break };
        client = address.to_canonical();
    }
    client
}

fn header(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

fn cookie<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
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
        AttributeKind::String => Some(Read::Text(text)),
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

    #[test]
    fn identity_is_believed_from_the_trusted_only() {
        let config = config();
        let id = "0190aaaa-0000-4000-8000-000000000001";
        let cookies = format!("x=1; uid=\"bob\"; anon={id}");
        let known = request(&[("x-user-id", "ann"), ("cookie", &cookies)]);
        assert_eq!(identify(&config, &known, true).user_id, "ann");
        assert_eq!(identify(&config, &known, false).user_id, id);
        let by_cookie = request(&[("cookie", "a=b"), ("cookie", &cookies)]);
        assert_eq!(identify(&config, &by_cookie, true).user_id, "bob");
        let forged = request(&[("cookie", "anon=admin")]);
        let drawn = identify(&config, &forged, false);
        assert!(Uuid::try_parse(&drawn.user_id).is_ok());
        assert_eq!(
            drawn.set_cookie.unwrap(),
            format!("anon={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", drawn.user_id)
        );
    }

    #[test]
    fn attributes_have_types() {
        let config = config();
        let parts = request(&[("x-age", " 42 "), ("cookie", "beta=Yes"), ("x-roles", "a, b,,c")]);
        let seen = |trusted: bool, name: &str| {
            let taken = Taken::for_testing(trusted);
            RequestAttributes::new(&config, &parts, &taken).attribute(name).map(Attribute::to_json)
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

    #[test]
    fn forwarded_addresses_are_believed_through_trusted_proxies_only() {
        let trusted = |address: IpAddr| address.to_string().starts_with("10.");
        for (peer, header, client) in [
            ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
            ("192.0.2.1", "1.2.3.4", "192.0.2.1"),
            ("10.0.0.1", "x, 10.0.0.3", "10.0.0.3"),
            ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", header.parse().unwrap());
            assert_eq!(client_address(&headers, peer.parse().unwrap(), trusted).to_string(), client, "{peer} {header}");
        }
    }
}
