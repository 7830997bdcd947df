//! One guarded call: listed, resolved once, connected to the address that was checked.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    select,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

use super::{OutboundError, guard::may_connect};
use crate::config::Outbound;

/// A call may take so long, from the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One address of several may take so long, so that there is time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An answer may have so many bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Calls who may be called. A clone is the same client.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Outbound,
    names: Names,
    tls: Arc<ClientConfig>,
}

/// What host names mean.
#[derive(Clone, Debug, Default)]
pub enum Names {
    /// What the system says.
    #[default]
    System,
    /// Nothing but this.
    Fixed(BTreeMap<String, Vec<IpAddr>>),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: Method,
    /// The URL; it may come from anywhere.
    pub url: &'r str,
    /// Headers besides `Host`, `User-Agent` and `Connection`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// An answer that is no redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, a mebibyte at most.
    pub body: Bytes,
}

/// Where a URL leads; `name` is host and port, for messages.
struct Target {
    url: Url,
    host: Host<String>,
    port: u16,
    name: String,
}

impl Client {
    /// A client for the hosts that the configuration lists.
    ///
    /// # Errors
    /// The file with the authorities cannot be read.
    pub fn new(config: Outbound) -> Result<Self, OutboundError> {
        Self::with_names(config, Names::System)
    }

    /// A client for which names mean what the system does not say.
    ///
    /// # Errors
    /// The file with the authorities cannot be read.
    pub fn with_names(config: Outbound, names: Names) -> Result<Self, OutboundError> {
        let tls = tls(config.ca.as_deref(), !config.allow.is_empty())?;
        Ok(Self(Arc::new(Inner { config, names, tls })))
    }

    /// Where it may call.
    #[must_use]
    pub fn config(&self) -> &Outbound {
        &self.0.config
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// The URL may not be called, or the call failed.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, OutboundError> {
        let target = self.target(request.url)?;
        let host = target.name.clone();
        let answer = timeout(TIMEOUT, self.call(target, request)).await;
        answer.unwrap_or_else(|_| Err(OutboundError::Timeout { host, seconds: TIMEOUT.as_secs() }))
    }

    /// Where a URL leads, if it is to a listed host.
    fn target(&self, url: &str) -> Result<Target, OutboundError> {
        let url = Url::parse(url).map_err(|_| OutboundError::Url)?;
        let is_plain =
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        let (host, port) = (url.host().map(|host| host.to_owned()), url.port_or_known_default());
        let (Some(host), Some(port), true) = (host, port, is_plain) else { return Err(OutboundError::Url) };
        let name = format!("{host}:{port}");
        let is_listed = self.0.config.allow.iter().any(|allowed| allowed.host == host && allowed.port == port);
        if is_listed { Ok(Target { url, host, port, name }) } else { Err(OutboundError::NotAllowed { host: name }) }
    }

    async fn call(&self, target: Target, request: Request<'_>) -> Result<Answer, OutboundError> {
        let stream = self.connect(&target).await?;
        if target.url.scheme() == "http" {
            return exchange(stream, &target, request).await;
        }
        let name = match &target.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| OutboundError::Url)?,
            Host::Ipv4(address) => ServerName::from(IpAddr::V4(*address)),
            Host::Ipv6(address) => ServerName::from(IpAddr::V6(*address)),
        };
        let failed = |source| OutboundError::Connect { host: target.name.clone(), source };
        let stream = TlsConnector::from(self.0.tls.clone()).connect(name, stream).await.map_err(failed)?;
        exchange(stream, &target, request).await
    }

    /// Connects to one of the addresses that were found and may be called; nobody resolves the name again.
    async fn connect(&self, target: &Target) -> Result<TcpStream, OutboundError> {
        let host = || target.name.clone();
        let found = self.0.names.resolve(&target.host, target.port).await;
        let found = found.map_err(|source| OutboundError::Resolve { host: host(), source })?;
        let may = |address: &IpAddr| may_connect(&target.host, *address, &self.0.config.networks);
        let mut lost = None;
        for address in found.into_iter().filter(may) {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(SocketAddr::new(address, target.port))).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => lost = Some(source),
                Err(_) => lost = Some(io::Error::from(io::ErrorKind::TimedOut)),
            }
        }
        Err(match lost {
            Some(source) => OutboundError::Connect { host: host(), source },
            None => OutboundError::Forbidden { host: host() },
        })
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Inner").field("config", &self.config).field("names", &self.names).finish_non_exhaustive()
    }
}

impl Names {
    async fn resolve(&self, host: &Host<String>, port: u16) -> io::Result<Vec<IpAddr>> {
        match (host, self) {
            (Host::Ipv4(address), _) => Ok(vec![IpAddr::V4(*address)]),
            (Host::Ipv6(address), _) => Ok(vec![IpAddr::V6(*address)]),
            (Host::Domain(name), Self::System) => {
                Ok(lookup_host((name.as_str(), port)).await?.map(|address| address.ip()).collect())
            }
            (Host::Domain(name), Self::Fixed(names)) => {
                names.get(name).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            }
        }
    }
}

async fn exchange<S>(stream: S, target: &Target, request: Request<'_>) -> Result<Answer, OutboundError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broke_off = |source| OutboundError::Exchange { host: target.name.clone(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke_off)?;
    let asked = async {
        let answer = sender.send_request(as_sent(target, request)?).await.map_err(broke_off)?;
        read(target, answer).await
    };
    let (mut asked, connection) = (pin!(asked), pin!(connection));
    select! {
        biased;
        answer = &mut asked => answer,
        // The connection may end before all of what it brought has been read.
        _ = connection => asked.await,
    }
}

fn as_sent(target: &Target, request: Request<'_>) -> Result<http::Request<Full<Bytes>>, OutboundError> {
    let mut sent = http::Request::new(Full::new(request.body));
    *sent.method_mut() = request.method;
    let path = &target.url[Position::BeforePath..Position::AfterQuery];
    *sent.uri_mut() = path.parse().map_err(|_| OutboundError::Url)?;
    let host = &target.url[Position::BeforeHost..Position::AfterPort];
    let headers = sent.headers_mut();
    headers.extend(request.headers);
    headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|_| OutboundError::Url)?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("flaggate/", env!("CARGO_PKG_VERSION"))));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(sent)
}

async fn read(target: &Target, answer: http::Response<Incoming>) -> Result<Answer, OutboundError> {
    let (host, status) = (target.name.clone(), answer.status());
    if status.is_redirection() {
        return Err(OutboundError::Redirect { host, status: status.as_u16() });
    }
    match Limited::new(answer.into_body(), MAX_ANSWER).collect().await {
        Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
        Err(error) if error.is::<LengthLimitError>() => Err(OutboundError::TooLarge { host }),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(source) => OutboundError::Exchange { host, source: *source },
            Err(_) => OutboundError::TooLarge { host },
        }),
    }
}

/// TLS with the authorities of a file, else with the system's where they are wanted.
pub(super) fn tls(ca: Option<&Path>, wants_systems: bool) -> Result<Arc<ClientConfig>, OutboundError> {
    let failed = |error: &dyn std::fmt::Display| OutboundError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let unreadable = |error: &dyn std::fmt::Display| OutboundError::Tls(format!("{}: {error}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
        if roots.is_empty() {
            return Err(unreadable(&"there is no certificate in it"));
        }
    } else if wants_systems {
        // Without the system's authorities https fails, and http works.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| failed(&error))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
