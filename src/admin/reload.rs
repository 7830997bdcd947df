//! `POST /config/reload`.

use std::{pin::Pin, sync::Arc};

use axum::{Json, extract::State, http::StatusCode, middleware};
use jiff::Timestamp;
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, openapi as schema, problem::as_problems, refusal::Refusal};

/// Reads the configuration anew.
pub type Reload = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Reloaded, ReloadRefused>> + Send>> + Send + Sync>;

/// What a reload did.
#[derive(Clone, Debug, Serialize)]
pub struct Reloaded {
    /// Requests are routed by something new.
    pub changed: bool,
    /// What is in the file and needs a restart.
    pub needs_restart: Vec<&'static str>,
    /// When.
    pub at: Timestamp,
}

/// Why the configuration stays as it is.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReloadRefused {
    /// It came from no file.
    #[error("this gateway was not started from a configuration file")]
    NoFile,
    /// A line for each thing that is wrong, with its place.
    #[error("{0}")]
    Wrong(String),
}

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(reload)).layer(middleware::map_response(as_problems))
}

/// Reads the configuration file anew.
///
/// Routes, upstreams, the rules of the context, what is injected and trusted proxies change at once; requests that are under
/// way end as they began, and endpoints that stay keep their health. What else differs is named in `needs_restart`. If
/// anything in the file is wrong, nothing changes.
#[utoipa::path(
    post, path = "/config/reload", tag = "health", security(("token" = ["admin"])),
    responses(
        (status = 200, description = "What changed.", body = Object,
            example = json!({ "changed": true, "needs_restart": ["admin"], "at": "2026-12-01T10:00:00Z" })),
        (status = 409, description = "The gateway was not started from a file.", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file is wrong: a line for each fault, with its place. Nothing changed.", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
async fn reload(State(admin): State<Admin>) -> Result<Json<Reloaded>, Refusal> {
    let reload = admin.reload.as_ref().ok_or_else(|| refused(&ReloadRefused::NoFile))?;
    reload().await.map(Json).map_err(|refusal| refused(&refusal))
}

fn refused(refusal: &ReloadRefused) -> Refusal {
    let status = match refusal {
        ReloadRefused::NoFile => StatusCode::CONFLICT,
        ReloadRefused::Wrong(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Refusal::Status(status, refusal.to_string())
}
