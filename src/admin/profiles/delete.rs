//! `DELETE /profiles/{id}`.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::user::UserId;
use crate::admin::{Admin, openapi as schema, refusal::Refusal};

/// Forgets a user, activity included.
#[utoipa::path(
    delete, path = "/profiles/{id}", tag = "profiles", security(("token" = ["editor"])),
    params(("id" = String, Path, description = "the user's id: 1 to 256 bytes, no NUL")),
    responses(
        (status = 200, description = "forgotten", body = Value, example = json!({ "success": true })),
        (status = 400, description = "the path is not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "nothing is known of this user", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "this is no user's id", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(admin): State<Admin>, UserId(user_id): UserId) -> Result<Json<Value>, Refusal> {
    let was_known = admin.profile_store.remove_profile(&user_id).await?;
    admin.forget(&user_id);
    match was_known {
        true => Ok(Json(json!({ "success": true }))),
        false => Err(Refusal::not_found("nothing is known of this user")),
    }
}
