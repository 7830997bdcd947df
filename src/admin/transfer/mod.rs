//! `/export` and `/import`: all flags, segments and models at once, in flaggate's own form or that of other systems.

mod body;
mod export;
mod import;
mod plan;
mod write;

use axum::{extract::DefaultBodyLimit, middleware};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, problem::as_problems};

/// The largest body of an import.
const IMPORT_LIMIT: usize = 16 << 20;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(export::export))
        .merge(OpenApiRouter::new().routes(routes!(import::import)).layer(DefaultBodyLimit::max(IMPORT_LIMIT)))
        .layer(middleware::map_response(as_problems))
}
