//! `/flags`: the existing service's endpoints, and what they lacked.

mod bulk;
mod create;
mod delete;
pub(super) mod evaluate;
mod explain;
mod get;
mod list;
mod patch;
mod preview;
mod put;
mod rollback;
mod stale;

use axum::{
    middleware,
    response::Redirect,
    routing::{get, put},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, problem::as_problems};

pub use stale::UsageWatch;

pub(super) fn router() -> OpenApiRouter<Admin> {
    let changed = || put(put::put).patch(patch::patch).delete(delete::delete);
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(get::get, put::put, patch::patch, delete::delete))
        .routes(routes!(bulk::evaluate))
        .routes(routes!(evaluate::evaluate))
        .routes(routes!(stale::stale))
        // `evaluate` and `stale` may be flags' keys as well.
        .route("/flags/evaluate", changed().get(get::get))
        .route("/flags/stale", changed())
        .route("/flags/", get(async || Redirect::temporary("/flags")))
        .route("/flags/{key}/", get(without_slash))
        .merge(newer())
}

/// What answers errors as problems.
fn newer() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(rollback::rollback))
        .routes(routes!(preview::preview))
        .routes(routes!(explain::explain))
        .layer(middleware::map_response(as_problems))
}

async fn without_slash(request: axum::extract::Request) -> Redirect {
    Redirect::temporary(request.uri().path().trim_end_matches('/'))
}
