//! Health, readiness, diagnostics and metrics.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, openapi::Problem, problem};
use crate::{clock, telemetry::Exposition};

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(diagnostics))
        .routes(routes!(metrics))
}

/// Whether the process runs.
#[utoipa::path(
    get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "it does", body = String, content_type = "text/plain"))
)]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it should get traffic: it has flags, does not stop, and is not too far behind the store.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, description = "it should", body = String, content_type = "text/plain"),
        (status = 503, description = "it should not, and why", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn readyz(State(admin): State<Admin>) -> Response {
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
#[utoipa::path(
    get, path = "/diagnostics", tag = "health", security(("token" = ["viewer"])),
    responses((status = 200, description = "`documents`: faults by document; `store`: how it is followed", body = Value))
)]
async fn diagnostics(State(admin): State<Admin>) -> Json<Value> {
    let (snapshot, sync) = (admin.cell.load(), admin.sync.status());
    let config = admin.config.get();
    let missing: BTreeSet<&str> = config.flags().filter(|key| snapshot.flag(key).is_none()).collect();
    Json(json!({
        "revision": snapshot.revision().map(ToString::to_string),
        "flags": snapshot.len(),
        "segments": snapshot.segments().count(),
        "documents": snapshot.diagnostics().collect::<Vec<_>>(),
        "missing_flags": missing,
        "store": sync,
    }))
}

/// The metrics in Prometheus' text format, or as OpenMetrics for who accepts that.
#[utoipa::path(
    get, path = "/metrics", tag = "health", security(("token" = ["viewer"])),
    responses((status = 200, description = "the metrics", body = String, content_type = "text/plain"))
)]
async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let exposition = Exposition::preferred(Some(&accept.join(",")));
    match exposition.encode(&admin.registry.gather()) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, exposition.content_type()), (header::VARY, "accept")], text).into_response()
        }
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("the metrics cannot be shown: {error}")),
    }
}
