//! `GET /analytics/routes/{name}`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::{Value, json};

use super::{Over, Wanted};
use crate::{
    admin::{Admin, documents::Key, openapi as schema, refusal::Refusal},
    analytics::route_report,
};

/// What each way of a route's requests, by strategy and upstream, had of requests, errors, latency and distinct users, beside
/// the control. All gateways together.
#[utoipa::path(
    get, path = "/analytics/routes/{name}", tag = "analytics", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "the route's name"), Over),
    responses(
        (status = 200, description = "`ways`, each with its figures; `series` by step", body = Value),
        (status = 404, description = "no such route", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn route(
    State(admin): State<Admin>,
    Key(name): Key,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let sources = admin.sources();
    let wanted = Wanted::parse(query.as_deref(), sources.now().await?)?;
    let report = route_report(&sources, &name, wanted.range, wanted.control.as_deref()).await?;
    if report.ways.is_empty() && !admin.config.get().routes.iter().any(|route| route.name == name) {
        return Err(Refusal::not_found(format!("Route {name} not found")));
    }
    Ok(Json(json!(report)))
}
