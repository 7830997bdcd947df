//! What happened to documents: the audit log, and the history of one flag.

mod audit;
mod entry;
mod history;

use axum::{Router, middleware, routing::get};

use super::{Admin, problem::as_problems};

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/audit", get(audit::audit))
        .route("/flags/{key}/history", get(history::history))
        .layer(middleware::map_response(as_problems))
}
