//! How a listener proves itself to its clients.

use std::{any::Any, collections::HashMap, sync::Arc};

use async_trait::async_trait;
use pingora::{
    listeners::{
        ALPN, TlsAccept,
        tls::{Acceptor, TlsSettings},
    },
    protocols::tls::TlsRef,
    proxy::Session,
};
use rustls::{
    crypto::ring,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use super::routing::RoutingCell;
use crate::config::{Listener, ListenerTls};

/// The certificates of a listener, by the names that clients ask for.
#[derive(Debug)]
pub(super) struct Certificates {
    /// By a whole name, or by what follows `*`.
    named: HashMap<Box<str>, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

/// The name that a client asked for when it connected (SNI).
#[derive(Debug)]
struct AskedFor(Arc<str>);

/// Chooses from the certificates of the configuration in force.
#[derive(Debug)]
struct Chooser {
    routing: RoutingCell,
    listener: usize,
}

/// Remembers the name that a client asked for.
struct RememberName;

impl Certificates {
    pub(super) fn new(tls: &ListenerTls) -> Self {
        let mut named = HashMap::new();
        for certificate in &tls.certificates {
            for name in &certificate.names {
                let key = name.strip_prefix('*').unwrap_or(name);
                named.entry(key.into()).or_insert_with(|| Arc::clone(&certificate.pair));
            }
        }
        Self { named, default: tls.certificates.first().map(|first| Arc::clone(&first.pair)) }
    }

    /// The certificate for a name, else for all names beside it, else the first.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let exact = name.as_deref().and_then(|name| self.named.get(name));
        let beside = || name.as_deref().and_then(|name| self.named.get(&name[name.find('.')?..]));
        exact.or_else(beside).or(self.default.as_ref()).cloned()
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.routing.load().certificates[self.listener].as_ref()?.choose(client.server_name())
    }
}

#[async_trait]
impl TlsAccept for RememberName {
    async fn handshake_complete_callback(&self, connection: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let name = connection.server_name()?.to_ascii_lowercase();
        Some(Arc::new(AskedFor(name.into())))
    }
}

/// What encrypts the connections of a listener, if it has certificates.
///
/// # Panics
/// Never: what it is made of was read with the configuration.
pub(super) fn acceptor(routing: &RoutingCell, position: usize, listener: &Listener) -> Option<Acceptor> {
    let tls = listener.tls.as_ref()?;
    let mut settings = TlsSettings::with_callbacks(Box::new(RememberName)).expect("nothing can go wrong here");
    settings.set_cert_resolver(Arc::new(Chooser { routing: routing.clone(), listener: position }));
    settings.set_alpn(if listener.http2 { ALPN::H2H1 } else { ALPN::H1 });
    if let Some(authorities) = &tls.client_ca {
        let (roots, provider) = (Arc::new(authorities.roots()), Arc::new(ring::default_provider()));
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        settings.set_client_cert_verifier(verifier.expect("there is an authority"));
    }
    Some(settings.build())
}

/// The name that the client of a session asked for when it connected, in lower case; none without TLS, or when it asked
/// for an address.
pub(super) fn asked_for(session: &Session) -> Option<Arc<str>> {
    let connection = session.digest()?.ssl_digest.as_ref()?;
    connection.extension.get::<AskedFor>().map(|AskedFor(name)| Arc::clone(name))
}
