//! `GET /analytics/deployments/{id}`.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::{Value, json};

use super::{Over, Wanted};
use crate::{
    admin::{Admin, documents::Key, openapi as schema, refusal::Refusal},
    analytics::{flag_report, route_report},
};

/// What a deployment did: the reports of the flags and routes of its stages, and how far each stage is.
#[utoipa::path(
    get, path = "/analytics/deployments/{id}", tag = "analytics", security(("token" = ["viewer"])),
    params(("id" = String, Path, description = "the deployment's id"), Over),
    responses(
        (status = 200, description = "`flags` and `routes`, as they are told by themselves; `stages`", body = Value),
        (status = 404, description = "no such deployment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn deployment(
    State(admin): State<Admin>,
    Key(id): Key,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let sources = admin.sources();
    let wanted = Wanted::parse(query.as_deref(), sources.now().await?)?;
    let snapshot = admin.cell.load();
    let document = snapshot.deployment(&id).ok_or_else(|| Refusal::not_found(format!("Deployment {id} not found")))?;
    let stages = document.fields().get("stages").and_then(Value::as_array);
    let named = |name: &str| -> BTreeSet<String> {
        let all = stages.into_iter().flatten().filter_map(|stage| stage["config"][name].as_str());
        all.map(str::to_owned).collect()
    };
    let (keys, routes) = (named("flag_key"), named("route"));
    let (mut of_flags, mut of_routes) = (Vec::new(), Vec::new());
    for key in keys {
        of_flags.extend(flag_report(&sources, &snapshot, &key, wanted.range, wanted.control.as_deref()).await?);
    }
    for route in routes {
        of_routes.push(route_report(&sources, &route, wanted.range, wanted.control.as_deref()).await?);
    }
    let status = document.fields().get("status");
    Ok(Json(json!({
        "deployment": id,
        "from": wanted.range.from,
        "to": wanted.range.to,
        "state": status.map(|status| &status["state"]),
        "stages": status.map(|status| &status["stages"]),
        "flags": of_flags,
        "routes": of_routes,
    })))
}
