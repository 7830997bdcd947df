//! `/segments`, and the segments of a user.

mod create;
mod delete;
mod evaluate;
mod get;
mod history;
mod list;
mod of_user;
mod patch;
mod put;
mod rollback;

use axum::middleware;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, problem::as_problems};

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(get::get, put::put, patch::patch, delete::delete))
        .routes(routes!(history::history))
        .routes(routes!(rollback::rollback))
        .routes(routes!(evaluate::evaluate))
        .routes(routes!(of_user::segments))
        .layer(middleware::map_response(as_problems))
}
