//! `listeners`: where the gateway takes requests, and how it proves who it is.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::{
    check::Checker,
    keys::{Kind, REQUIRED, Section, TEXTS, key},
    limits::{MAX_CONNECTIONS, MAX_CONNECTIONS_PER_IP, MIN_BODY_RATE},
    read::Table,
    tls::{Authorities, Certificate},
};

pub(super) static LISTENER: Section = Section {
    keys: &[
        key("name", Kind::Text, REQUIRED, "its name in logs and metrics"),
        key("address", Kind::Text, REQUIRED, "`ip:port` to listen on"),
        key("trusted_proxies", TEXTS, "[]", "CIDRs of peers whose identity and forwarding headers are believed"),
        key("http2", Kind::Boolean, "true", "whether clients may speak HTTP/2: by ALPN with TLS, at once without"),
        key(
            "tls",
            Kind::List(&Kind::Table(&CERTIFICATE)),
            "[]",
            "certificates, chosen by the name that a client asks for, else the first; none: connections are not encrypted",
        ),
        key(
            "client_ca",
            Kind::Text,
            "none",
            "PEM file of authorities; clients must show a certificate of one of them; none: they need none",
        ),
        MAX_CONNECTIONS,
        MAX_CONNECTIONS_PER_IP,
        MIN_BODY_RATE,
    ],
    later: &[],
};

static CERTIFICATE: Section = Section {
    keys: &[
        key("cert", Kind::Text, REQUIRED, "PEM file of the certificate and those between it and its root"),
        key("key", Kind::Text, REQUIRED, "PEM file of its key"),
    ],
    later: &[],
};

/// An address where the gateway takes requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Its name in logs and metrics.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Peers whose identity and forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether clients may speak HTTP/2. Default yes.
    pub http2: bool,
    /// What it proves itself with; none: connections are not encrypted.
    pub tls: Option<ListenerTls>,
    /// How many connections there may be; none: any number.
    pub max_connections: Option<usize>,
    /// How many there may be from one address that is no trusted proxy; none: any number.
    pub max_connections_per_ip: Option<usize>,
    /// Bytes a second that a client must send of a body and take of an answer, on average, once ten seconds are over; 0:
    /// any. Default 100.
    pub min_body_rate: u64,
}

/// How connections to a listener are encrypted.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// Chosen by the name that a client asks for. Never empty; the first one is for all other names.
    pub certificates: Vec<Certificate>,
    /// Clients must show a certificate of one of these; none: they need none.
    pub client_ca: Option<Authorities>,
}

impl Listener {
    /// Takes what a reload can change from the same listener of another configuration: whose headers are believed, and its
    /// certificates.
    pub(super) fn take_over(&mut self, new: &Self) {
        self.trusted_proxies.clone_from(&new.trusted_proxies);
        if let (Some(tls), Some(new)) = (&mut self.tls, &new.tls) {
            tls.certificates.clone_from(&new.certificates);
        }
    }
}

impl Checker<'_> {
    pub(super) fn listeners(&mut self, root: &Table) -> Vec<Listener> {
        let (mut names, mut listeners) = (Vec::new(), Vec::<Listener>::new());
        for (table, at) in root.tables("listeners") {
            let name = self.once(&mut names, "listener", table.text("name"));
            let address = self.address(table);
            if listeners.iter().any(|other| other.address == address && address.port() != 0) {
                self.problem(
                    table.text("address").map_or(at, |(_, at)| at),
                    format!("two listeners listen on {address}"),
                );
            }
            let network = |text: &str| {
                text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
            };
            let proxies = table.texts("trusted_proxies");
            let trusted_proxies =
                proxies.filter_map(|text| self.parse(text, "a CIDR like \"10.0.0.0/8\"", network)).collect();
            let (http2, tls) = (table.boolean("http2", true), self.listener_tls(table));
            listeners.push(Listener {
                name,
                address,
                trusted_proxies,
                http2,
                tls,
                max_connections: table.count("max_connections"),
                max_connections_per_ip: table.count("max_connections_per_ip"),
                min_body_rate: table.size("min_body_rate", 100),
            });
        }
        if let Some(node) = root.get("listeners").filter(|_| listeners.is_empty()) {
            self.problem(&node.at, "there must be at least one listener");
        }
        listeners
    }

    fn listener_tls(&mut self, table: &Table) -> Option<ListenerTls> {
        let mut certificates = Vec::new();
        for (pair, _) in table.tables("tls") {
            if let (Some(cert), Some(key)) = (pair.text("cert"), pair.text("key")) {
                certificates.extend(self.certificate(cert, key));
            }
        }
        let client_ca = table.text("client_ca").and_then(|file| self.authorities(file));
        if let (Some(node), true) = (table.get("client_ca"), table.list("tls").is_empty()) {
            self.problem(&node.at, "`client_ca` is for a listener with `tls`: this one does not encrypt");
        }
        (!certificates.is_empty()).then_some(ListenerTls { certificates, client_ca })
    }
}
