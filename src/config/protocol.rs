//! How an upstream is spoken to: `protocol` and `tls`.

use rustls::pki_types::ServerName;

use super::{
    check::Checker,
    keys::{Kind, REQUIRED, Section, key},
    read::Table,
    tls::{Authorities, Certificate},
};

/// Which HTTP an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2; without TLS at once.
    Http2,
    /// What the upstream prefers, by ALPN.
    Auto,
}

/// How connections to an upstream are encrypted.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTls {
    /// The name that is asked for and that the certificate must be for; none: the endpoint's.
    pub sni: Option<String>,
    /// Authorities that are believed, in place of the system's.
    pub ca: Option<Authorities>,
    /// What the gateway shows of itself.
    pub client_cert: Option<Certificate>,
    /// Whether the upstream's certificate is held against all of this. Default yes.
    pub verify: bool,
}

pub(super) const PROTOCOLS: Kind = Kind::Choice(&["http1", "http2", "auto"]);

pub(super) static UPSTREAM_TLS: Section = Section {
    keys: &[
        key(
            "sni",
            Kind::Text,
            "the endpoint's host",
            "the name that is asked for and that the certificate must be for",
        ),
        key("ca", Kind::Text, "none", "PEM file of the authorities that are believed; none: the system's"),
        key("client_cert", Kind::Table(&CLIENT_CERT), "none", "what the gateway shows of itself (mutual TLS)"),
        key("verify", Kind::Boolean, "true", "whether the upstream's certificate is checked; `false` is for tests"),
    ],
    later: &[],
};

static CLIENT_CERT: Section = Section {
    keys: &[
        key("cert", Kind::Text, REQUIRED, "PEM file of the certificate and those between it and its root"),
        key("key", Kind::Text, REQUIRED, "PEM file of its key"),
    ],
    later: &[],
};

impl Checker<'_> {
    pub(super) fn protocol(&mut self, upstream: &Table) -> Protocol {
        let Some((text, at)) = upstream.text("protocol") else { return Protocol::Http1 };
        match text {
            "http2" => Protocol::Http2,
            "auto" => {
                if upstream.get("tls").is_none() {
                    self.problem(
                        at,
                        "\"auto\" needs `tls`: without it nothing tells which protocol an upstream speaks",
                    );
                }
                Protocol::Auto
            }
            _ => Protocol::Http1,
        }
    }

    pub(super) fn upstream_tls(&mut self, upstream: &Table) -> Option<UpstreamTls> {
        let (table, _) = upstream.table("tls")?;
        let name = |text: &str| ServerName::try_from(text).is_ok().then(|| text.to_owned());
        let sni = table.text("sni").and_then(|text| self.parse(text, "a host name like \"shop.internal\"", name));
        let ca = table.text("ca").and_then(|file| self.authorities(file));
        let pair = table.table("client_cert").map(|(pair, _)| pair);
        let client_cert = pair.and_then(|pair| self.certificate(pair.text("cert")?, pair.text("key")?));
        Some(UpstreamTls { sni, ca, client_cert, verify: table.boolean("verify", true) })
    }
}
