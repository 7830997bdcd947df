//! `GET /analytics/routes/{name}`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::{Value, json};

use super::{Over, Wanted, changes::changes};
use crate::{
    admin::{Admin, documents::Key, openapi as schema, refusal::Refusal},
    analytics::{attribute, route_report_of},
};

/// What each way of a route's requests, by strategy and upstream, had of requests, errors, latency and distinct users, beside
/// the control. All gateways together.
#[utoipa::path(
    get, path = "/analytics/routes/{name}", tag = "analytics", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "the route's name"), Over),
    responses(
        (status = 200, description = "`ways`, each with its figures; `series` by step; `attributions`", body = Value),
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
    let now = sources.now().await?;
    let wanted = Wanted::parse(query.as_deref(), now)?;
    let (report, series) = route_report_of(&sources, &name, wanted.range, wanted.control.as_deref()).await?;
    if report.ways.is_empty() && !admin.config.get().routes.iter().any(|route| route.name == name) {
        return Err(Refusal::not_found(format!("Route {name} not found")));
    }
    let mut told = json!(report);
    told["attributions"] = json!(attribute(&[&series], &changes(&admin, now).await?, now));
    Ok(Json(told))
}
