//! Puts the gateway into a pingora server.

use std::{
    net::TcpListener,
    os::fd::IntoRawFd as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use pingora::{
    apps::HttpServerOptions,
    proxy::{HttpProxy, http_proxy},
    server::{ListenFds, Server, ShutdownWatch, configuration::ServerConf},
    services::{background::GenBackgroundService, listening},
};

use super::{
    crowd::Crowd,
    patience::{IDLE, Patient},
    proxy::Gateway,
    routing::RoutingCell,
    tls::acceptor,
    upstream::HealthChecks,
};
use crate::{
    config::{self, Config},
    drain::Drain,
    profiles::Profiles,
    recent::Recent,
    snapshot::SnapshotCell,
    telemetry::{AccessLog, Arms, Metrics, Observers, Tracer},
};

/// Connections to upstreams that are kept for reuse.
const KEPT_CONNECTIONS: usize = 1024;

/// What the gateway works with.
#[derive(Debug)]
pub struct Parts {
    /// The configuration as it was at the start.
    pub config: Arc<Config>,
    /// Where the current snapshot is.
    pub cell: SnapshotCell,
    /// Where access lines go.
    pub access_log: AccessLog,
    /// Who is told of each request when it is over.
    pub observers: Observers,
    /// Traces requests, if that is asked for.
    pub tracer: Option<Tracer>,
    /// Whether the process is stopping.
    pub drain: Drain,
    /// Who was here lately.
    pub recent: Recent,
    /// The configuration as it is now.
    pub current: config::Current,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// Where they are counted by arm.
    pub arms: Arms,
    /// Where users' profiles are looked up, if they are.
    pub profiles: Option<Profiles>,
    /// The routes, upstreams and rules, which a reload of the configuration changes.
    pub routing: RoutingCell,
}

/// pingora's settings for this configuration.
#[must_use]
pub fn server_conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.server.workers,
        // A lone worker has nobody to steal from.
        work_stealing: config.server.workers > 1,
        // The gateway drains by itself, before pingora is told to stop.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        // Each upstream has a bound of its own below this.
        max_retries: config::MOST_ATTEMPTS,
        upstream_keepalive_pool_size: KEPT_CONNECTIONS,
        ..ServerConf::default()
    }
}

/// Adds the proxy and the health checks to a server whose configuration is [`server_conf`]'s. `sockets` are those of the
/// configuration's listeners, in their order; `serving` is called when all of them are served.
pub fn add_services(
    server: &mut Server,
    parts: &Parts,
    sockets: Vec<TcpListener>,
    serving: impl FnOnce() + Send + 'static,
) {
    let checks = Arc::new(HealthChecks::new(parts.routing.upstreams()));
    let checks = GenBackgroundService::new("health checks".to_owned(), checks);
    let checks = server.add_service(checks);

    let serving =
        Arc::new(Serving { missing: AtomicUsize::new(sockets.len()), then: Mutex::new(Some(Box::new(serving))) });
    for (position, (listener, socket)) in parts.config.listeners.iter().zip(sockets).enumerate() {
        let gateway = Gateway::new(parts, position);
        let mut proxy = http_proxy(&server.configuration, gateway);
        let mut options = HttpServerOptions::default();
        (options.h2c, options.h2_idle_timeout) = (listener.http2, Some(IDLE));
        // pingora's own limits of HTTP/2 hold while there are no options of it.
        (proxy.server_options, proxy.h2_options) = (Some(options), None);
        let tls = acceptor(&parts.routing, position, listener);
        let metrics = parts.metrics.connections(&listener.name);
        let crowd = Arc::new(Crowd::new(parts.routing.clone(), position, listener, metrics));
        let (app, drain) = (Arc::new(proxy), parts.drain.clone());
        let patient = Patient { app, tls, drain, crowd, rate: listener.min_body_rate };
        let mut service = listening::Service::new(listener.name.clone(), patient);
        service.add_tcp(&listener.address.to_string());
        service.threads = Some(parts.config.server.workers);
        // The first results are there before the first request.
        let (address, socket) = (listener.address.to_string(), Some(socket));
        let drained = Drained { service, address, socket, drain: parts.drain.clone(), serving: Arc::clone(&serving) };
        server.add_service(drained).add_dependency(&checks);
    }
}

/// Waits until all listeners are served.
struct Serving {
    missing: AtomicUsize,
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Serving {
    /// One more listener is served.
    fn one(&self) {
        if self.missing.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(then) = self.then.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            then();
        }
    }
}

/// A listening service that stops taking connections when the drain says so.
struct Drained {
    service: listening::Service<Patient<HttpProxy<Gateway>>>,
    address: String,
    /// What it listens on, until it is served.
    socket: Option<TcpListener>,
    drain: Drain,
    serving: Arc<Serving>,
}

#[async_trait]
impl pingora::services::Service for Drained {
    async fn start_service(&mut self, fds: Option<ListenFds>, mut shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let (Some(socket), Some(fds)) = (self.socket.take(), &fds) {
            // pingora takes what is in the table for this address, and closes it in the end.
            fds.lock().add(self.address.clone(), socket.into_raw_fd());
        }
        let closed = self.drain.closed();
        // Whoever connects from here on waits in the socket's queue for a moment at most.
        self.serving.one();
        let serving = self.service.start_service(fds, closed, listeners_per_fd);
        tokio::pin!(serving);
        tokio::select! {
            () = &mut serving => return,
            // An error says that the server is gone, which is the same.
            _ = shutdown.wait_for(|stopping| *stopping) => self.drain.close(),
        }
        serving.await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.service.listen_addresses()
    }
}
