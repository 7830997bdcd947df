//! How the endpoints of an upstream are spoken to: which HTTP, and how it is encrypted.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    sync::Arc,
};

use http::{Uri, Version, header::HOST};
use pingora::{
    Error, ErrorType, OrErr as _, Result,
    http::RequestHeader,
    protocols::tls::CaType,
    upstreams::peer::{ALPN, HttpPeer},
    utils::tls::{CertKey, WrappedX509, parse_x509},
};

use crate::config::{self, Protocol, UpstreamTls};

/// Streams on one HTTP/2 connection.
const MAX_H2_STREAMS: usize = 128;

/// What the connections to all endpoints of an upstream have in common.
#[derive(Debug)]
pub(super) struct Speech {
    protocol: Protocol,
    tls: Option<Secured>,
    /// Connections are shared only by those that speak alike.
    group: u64,
}

#[derive(Debug)]
struct Secured {
    sni: Option<String>,
    verify: bool,
    ca: Option<Arc<CaType>>,
    client_cert: Option<Arc<CertKey>>,
}

impl Speech {
    pub(super) fn new(upstream: &config::Upstream) -> Self {
        let config::Upstream { protocol, tls, .. } = upstream;
        Self { protocol: *protocol, group: group(*protocol, tls.as_ref()), tls: tls.as_ref().map(Secured::new) }
    }

    /// The endpoint of this name (`host:port`) at an address.
    pub(super) fn peer(&self, name: &str, address: SocketAddr) -> HttpPeer {
        let mut peer = match &self.tls {
            None => HttpPeer::new(address, false, String::new()),
            Some(tls) => {
                // pingora checks nothing where there is no name.
                let host = name.rsplit_once(':').map_or(name, |(host, _)| host).trim_matches(['[', ']']);
                HttpPeer::new(address, true, tls.sni.clone().unwrap_or_else(|| host.to_owned()))
            }
        };
        if let Some(tls) = &self.tls {
            (peer.options.verify_cert, peer.options.verify_hostname) = (tls.verify, tls.verify);
            peer.options.ca.clone_from(&tls.ca);
            peer.client_cert_key.clone_from(&tls.client_cert);
        }
        peer.options.alpn = match self.protocol {
            Protocol::Http1 => ALPN::H1,
            Protocol::Http2 => ALPN::H2,
            Protocol::Auto => ALPN::H2H1,
        };
        peer.options.max_h2_streams = MAX_H2_STREAMS;
        peer.group_key = self.group;
        peer
    }
}

impl Secured {
    fn new(tls: &UpstreamTls) -> Self {
        let ca = tls.ca.as_ref().map(|authorities| {
            let all = authorities.all().map(|one| WrappedX509::new(one.to_vec(), parse_x509));
            all.collect::<Vec<_>>().into()
        });
        let client_cert = tls.client_cert.as_ref().map(|pair| {
            let chain = pair.chain().map(<[u8]>::to_vec).collect();
            Arc::new(CertKey::new(chain, pair.secret().to_vec()))
        });
        Self { sni: tls.sni.clone(), verify: tls.verify, ca, client_cert }
    }
}

/// A number of those that speak alike; 0 for plain HTTP/1.1.
fn group(protocol: Protocol, tls: Option<&UpstreamTls>) -> u64 {
    if (protocol, tls) == (Protocol::Http1, None) {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    protocol.hash(&mut hasher);
    if let Some(UpstreamTls { sni, ca, client_cert, verify }) = tls {
        (sni, verify).hash(&mut hasher);
        let certificates = ca.iter().flat_map(config::Authorities::all);
        certificates
            .chain(client_cert.iter().flat_map(config::Certificate::chain))
            .for_each(|one| one.hash(&mut hasher));
    }
    hasher.finish()
}

/// Gives a request of HTTP/1.1 the form that it has in HTTP/2: its `Host` and path become its target.
///
/// # Errors
/// There is no valid `Host`.
pub(in crate::gateway) fn as_http2(request: &mut RequestHeader, is_tls: bool) -> Result<()> {
    let host = request.remove_header(&HOST).ok_or_else(|| Error::new_in(ErrorType::InvalidHTTPHeader))?;
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme(if is_tls { "https" } else { "http" }).authority(host.as_bytes());
    let uri = uri.path_and_query(path).build().or_err(ErrorType::InvalidHTTPHeader, "no target for HTTP/2")?;
    request.set_uri(uri);
    request.set_version(Version::HTTP_2);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(keys: &str, name: &str) -> HttpPeer {
        let text = format!(
            "listeners = [{{ name = \"web\", address = \"127.0.0.1:0\" }}]\n\
             routes = [{{ name = \"all\", upstream = \"u\" }}]\n\
             [upstreams.u]\nendpoints = [{{ address = \"127.0.0.1:9\" }}]\n{keys}\n"
        );
        let config = config::Config::parse("t", &text, std::iter::empty()).unwrap();
        Speech::new(&config.upstreams[0]).peer(name, ([127, 0, 0, 1], 9).into())
    }

    #[test]
    fn a_certificate_is_always_held_against_a_name() {
        for (keys, name, expected) in [
            ("tls = {}", "shop.internal:443", "shop.internal"),
            ("tls = {}", "10.0.0.1:443", "10.0.0.1"),
            ("tls = {}", "[::1]:443", "::1"),
            ("tls = { sni = \"other.internal\" }", "shop.internal:443", "other.internal"),
        ] {
            let peer = peer(keys, name);
            assert_eq!((peer.sni.as_str(), peer.is_tls(), peer.options.verify_cert), (expected, true, true), "{keys}");
        }
        assert!(!peer("tls = { verify = false }", "a:1").options.verify_cert);
    }

    #[test]
    fn only_those_that_speak_alike_share_connections() {
        let all = ["", "protocol = \"http2\"", "tls = {}", "protocol = \"http2\"\ntls = {}", "tls = { sni = \"a\" }"];
        let groups: std::collections::BTreeSet<u64> = all.iter().map(|keys| peer(keys, "a:1").group_key).collect();
        assert_eq!((groups.len(), groups.first()), (all.len(), Some(&0)));
        assert_eq!(peer("tls = {}", "a:1").group_key, peer("tls = {}", "b:1").group_key);
    }

    #[test]
    fn a_request_becomes_one_of_http2() {
        let mut request = RequestHeader::build("GET", b"/a?b=c", None).unwrap();
        request.insert_header("Host", "shop.example:81").unwrap();
        as_http2(&mut request, true).unwrap();
        assert_eq!(request.uri.to_string(), "https://shop.example:81/a?b=c");
        assert_eq!((request.version, request.headers.len()), (Version::HTTP_2, 0));
        assert!(as_http2(&mut request, true).is_err());
    }
}
