//! Upstreams that speak HTTP/1.1 or HTTP/2, with TLS or without, and say what they were asked.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::certificates::Pair;

/// How an upstream is to be spoken to.
pub(crate) struct Speaks<'s> {
    /// Without TLS: HTTP/2 and nothing else.
    pub(crate) http2: bool,
    /// The certificate, the protocols of ALPN, and the authorities of which clients must have a certificate.
    pub(crate) tls: Option<(&'s Pair, &'s [&'s str], Option<RootCertStore>)>,
}

/// An upstream that answers everything with what it was asked.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What it was asked, but for its health.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start(speaks: Speaks<'_>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, seen: Arc::default(), connections: Arc::default() };
        let (http2, tls) = (speaks.http2, speaks.tls.map(|(pair, names, clients)| acceptor(pair, names, clients)));
        let started = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, tls) = (started.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return server.serve(stream, http2, String::new()).await };
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let connection = stream.get_ref().1;
                    let (http2, certified) =
                        (connection.alpn_protocol() == Some(b"h2"), connection.peer_certificates().is_some());
                    let name = connection.server_name().unwrap_or("-").to_owned();
                    server.serve(stream, http2, format!("sni: {name}\ncertified: {certified}\n")).await;
                });
            }
        });
        server
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, is_http2: bool, known: String) {
        let counted = Arc::clone(&self.connections);
        let answer = service_fn(move |request: Request<Incoming>| {
            let (server, known) = (self.clone(), known.clone());
            async move { Ok::<_, Infallible>(server.answer(request, &known).await) }
        });
        counted.fetch_add(1, Ordering::Relaxed);
        let stream = TokioIo::new(stream);
        // What ends a connection is seen by the other side.
        if is_http2 {
            http2::Builder::new(TokioExecutor::new()).serve_connection(stream, answer).await.ok();
        } else {
            http1::Builder::new().serve_connection(stream, answer).await.ok();
        }
    }

    async fn answer(&self, request: Request<Incoming>, known: &str) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/silent" => std::future::pending().await,
            // Checks of health do not count as connections that requests use.
            "/healthz" => {
                self.connections.fetch_sub(1, Ordering::Relaxed);
                return Response::new(Full::default());
            }
            _ => {}
        }
        let mut said = format!("{:?} {} {}\n{known}", request.version(), request.method(), request.uri());
        for (name, value) in request.headers() {
            said += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
        }
        self.seen.lock().unwrap().push(said.clone());
        Response::new(Full::from(said))
    }
}

fn acceptor(pair: &Pair, names: &[&str], clients: Option<RootCertStore>) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = match clients {
        Some(roots) => builder.unwrap().with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
        ),
        None => builder.unwrap().with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(vec![pair.cert.clone()], pair.secret()).unwrap();
    config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}
