//! The control plane's listener: health, readiness, diagnostics and metrics. Loopback only, as there are no tokens yet.

mod flags;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};

use crate::{drain::Drain, snapshot::SnapshotCell, store::SyncHandle};

pub use flags::FlagMetrics;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The flags that are served.
    pub cell: SnapshotCell,
    /// How the store is followed.
    pub sync: SyncHandle,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// The flags that routes name.
    pub named: Arc<[String]>,
    /// Whether the gateway is stopping.
    pub drain: Drain,
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
        .route("/readyz", get(readyz))
        .route("/diagnostics", get(diagnostics))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn(loopback_host))
        .with_state(admin)
}

/// Refuses requests that were not addressed to this machine: a web page that rebinds its name to loopback is one.
async fn loopback_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<axum::http::uri::Authority>().ok());
    let is_loopback = authority.is_some_and(|authority| {
        let host = authority.host().trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    if is_loopback {
        return next.run(request).await;
    }
    problem(StatusCode::FORBIDDEN, "the admin listener answers requests to localhost only; check the Host header")
}

/// 200 once there is a snapshot, and until the gateway stops.
async fn readyz(State(admin): State<Admin>) -> Response {
    if admin.drain.is_draining() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping");
    }
    if admin.cell.load().revision().is_none() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "there is no snapshot yet: the store has not answered");
    }
    "ready\n".into_response()
}

/// What is served, and what is wrong with documents, the store and the routes' flags.
async fn diagnostics(State(admin): State<Admin>) -> Json<Value> {
    let (snapshot, sync) = (admin.cell.load(), admin.sync.status());
    let missing: Vec<&String> = admin.named.iter().filter(|key| snapshot.flag(key).is_none()).collect();
    Json(json!({
        "revision": snapshot.revision().map(ToString::to_string),
        "flags": snapshot.len(),
        "documents": snapshot.diagnostics().collect::<Vec<_>>(),
        "missing_flags": missing,
        "store": { "up": sync.store_up, "applied_at": sync.applied_at, "last_error": sync.last_error, "alarm": sync.alarm },
    }))
}

/// The metrics in Prometheus' text format.
async fn metrics(State(admin): State<Admin>) -> Response {
    match TextEncoder::new().encode_to_string(&admin.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("the metrics cannot be shown: {error}")),
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({ "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
