//! What happened to documents: the audit log, and the history of one.

mod audit;
mod changes;
mod entry;
mod history;

use axum::middleware;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, problem::as_problems};

pub(super) use history::history_of;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(audit::audit))
        .routes(routes!(changes::changes))
        .routes(routes!(history::history))
        .layer(middleware::map_response(as_problems))
}
