//! `/profiles`: what is stored of users, and what they do now.

mod activity;
mod batch;
mod delete;
mod document;
mod get;
mod list;
mod patch;
mod put;
mod user;

use axum::{
    Json,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::user::check as check_user_id;
use super::{Admin, problem::as_problems, refusal::Refusal};
use crate::store::MAX_PROFILE_BYTES;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(get::get, put::put, patch::patch, delete::delete))
        .routes(routes!(activity::put, activity::delete))
        .routes(routes!(batch::batch))
        .layer(middleware::map_response(as_problems))
}

impl Admin {
    /// A user's profile or activity changed: this gateway goes by it from its next request on. The others are told by the
    /// store.
    fn forget(&self, user_id: &str) {
        if let Some(profiles) = &self.profiles {
            profiles.forget(user_id);
        }
    }
}

/// The answer to a profile that was written.
fn written(user_id: &str, is_new: bool, at: Timestamp) -> Response {
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(json!({ "success": true, "user_id": user_id, "last_updated": at }))).into_response()
}

/// Refuses what is read on the way of requests and would take too long.
fn check_size(bytes: usize) -> Result<(), Refusal> {
    if bytes <= MAX_PROFILE_BYTES { Ok(()) } else { Err(too_large(bytes)) }
}

fn too_large(bytes: usize) -> Refusal {
    let detail = format!("it would be {bytes} bytes long; at most {MAX_PROFILE_BYTES} are possible");
    Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE, detail)
}
