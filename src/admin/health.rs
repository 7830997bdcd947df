//! Health, readiness, diagnostics and metrics.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus::TextEncoder;
use serde_json::{Value, json};

use super::{Admin, problem};
use crate::clock;

/// 200 once there is a snapshot, and until the gateway stops.
pub(super) async fn readyz(State(admin): State<Admin>) -> Response {
    if admin.drain.is_draining() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping");
    }
    if admin.cell.load().revision().is_none() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "there is no snapshot yet: the store has not answered");
    }
    let stale = admin.sync.status().stale_for(clock::now());
    if let Some(limit) = admin.ready_stale_after.filter(|limit| stale > *limit) {
        let detail = format!("the snapshot may be behind the store for {stale:.0?} now; {limit:?} are allowed");
        return problem(StatusCode::SERVICE_UNAVAILABLE, &detail);
    }
    "ready\n".into_response()
}

/// What is served, and what is wrong with documents, the store and the routes' flags.
pub(super) async fn diagnostics(State(admin): State<Admin>) -> Json<Value> {
    let (snapshot, sync) = (admin.cell.load(), admin.sync.status());
    let missing: Vec<&String> = admin.named.iter().filter(|key| snapshot.flag(key).is_none()).collect();
    Json(json!({
        "revision": snapshot.revision().map(ToString::to_string),
        "flags": snapshot.len(),
        "documents": snapshot.diagnostics().collect::<Vec<_>>(),
        "missing_flags": missing,
        "store": sync,
    }))
}

/// The metrics in Prometheus' text format.
pub(super) async fn metrics(State(admin): State<Admin>) -> Response {
    match TextEncoder::new().encode_to_string(&admin.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("the metrics cannot be shown: {error}")),
    }
}
