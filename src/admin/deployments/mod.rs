//! `/deployments`: what is delivered, and what people tell it.

mod abort;
mod approve;
mod check;
mod create;
mod delete;
mod get;
mod history;
mod list;
mod pause;
mod promote;
mod promote_full;
mod put;
mod resume;
mod retry;
mod start;
mod tell;

use axum::middleware;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, problem::as_problems};
use crate::conductor::{Nudge, Rollbacks};

/// What the handlers of deployments need of this gateway.
#[derive(Clone, Debug, Default)]
pub struct Deployments {
    /// Its conductor, if there is one.
    pub nudge: Option<Nudge>,
    /// Counts rollbacks.
    pub rollbacks: Option<Rollbacks>,
}

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(get::get, put::put, delete::delete))
        .routes(routes!(start::start))
        .routes(routes!(pause::pause))
        .routes(routes!(resume::resume))
        .routes(routes!(promote::promote))
        .routes(routes!(promote_full::promote_full))
        .routes(routes!(abort::abort))
        .routes(routes!(retry::retry))
        .routes(routes!(approve::approve))
        .routes(routes!(history::history))
        .layer(middleware::map_response(as_problems))
}
