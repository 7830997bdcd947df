//! The control plane's listener: the flag service, health, diagnostics and metrics. Loopback only, as there are no
//! tokens yet.

mod acknowledge;
mod body;
mod conditional;
mod dry_run;
mod flag_metrics;
mod flags;
mod form;
mod gateways;
mod guard;
mod health;
mod refusal;
mod transfer;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use prometheus::Registry;
use serde_json::json;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

use self::refusal::Refusal;
use crate::{
    drain::Drain,
    profiles::Profiles,
    snapshot::SnapshotCell,
    store::{Store, SyncHandle},
};

pub use flag_metrics::FlagMetrics;

/// The largest body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// No request takes longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the handlers share.
#[derive(Clone)]
pub struct Admin {
    /// Where flags are written.
    pub store: Arc<dyn Store>,
    /// The flags that are served.
    pub cell: SnapshotCell,
    /// How the store is followed.
    pub sync: SyncHandle,
    /// Where users' profiles are looked up, if they are.
    pub profiles: Option<Profiles>,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// The flags that routes name.
    pub named: Arc<[String]>,
    /// Whether the gateway is stopping.
    pub drain: Drain,
    /// After how long behind the store the gateway is not ready any more; none: never.
    pub ready_stale_after: Option<Duration>,
}

/// Serves the admin API on a listener, for ever.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: tokio::net::TcpListener, admin: Admin) -> std::io::Result<()> {
    axum::serve(listener, router(admin)).await
}

/// The routes of the admin API.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(health::readyz))
        .route("/diagnostics", get(health::diagnostics))
        .route("/metrics", get(health::metrics))
        .route("/gateways", get(gateways::gateways))
        .route("/store/reseed", post(gateways::reseed))
        .merge(flags::router())
        .merge(transfer::router())
        .fallback(async || Refusal::not_found("Not Found"))
        .method_not_allowed_fallback(async || {
            Refusal::Status(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".to_owned())
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(middleware::from_fn(guard::loopback_only))
        .with_state(admin)
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({ "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
