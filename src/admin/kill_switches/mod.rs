//! `/kill-switches`, and `/kill` for whoever has no time.

mod activate;
mod create;
mod deactivate;
mod delete;
mod get;
mod history;
mod kill;
mod lift;
mod list;
mod metrics;
mod patch;
mod put;
mod target;
mod transition;

use axum::middleware;
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, body::Body, problem::as_problems, refusal::Refusal};

pub use metrics::KillMetrics;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(get::get, put::put, patch::patch, delete::delete))
        .routes(routes!(activate::activate))
        .routes(routes!(deactivate::deactivate))
        .routes(routes!(history::history))
        .routes(routes!(kill::kill))
        .routes(routes!(lift::lift))
        .layer(middleware::map_response(as_problems))
}

/// A document in a body, without its state: what was read can be sent back, and changes nothing there.
fn without_status(body: Body) -> Result<Map<String, Value>, Refusal> {
    let mut fields = body.object()?;
    fields.shift_remove("status");
    Ok(fields)
}
