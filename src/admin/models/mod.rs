//! `/models`: trained models, which segments ask.

mod delete;
mod get;
mod history;
mod list;
mod predict;
mod put;
mod rollback;
mod train;

use axum::middleware;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, problem::as_problems};

pub use train::Training;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(get::get, put::put, delete::delete))
        .routes(routes!(train::train))
        .routes(routes!(predict::predict))
        .routes(routes!(history::history))
        .routes(routes!(rollback::rollback))
        .layer(middleware::map_response(as_problems))
}
