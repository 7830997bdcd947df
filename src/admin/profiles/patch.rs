//! `PATCH /profiles/{id}`.

use axum::{extract::State, response::Response};

use super::{document::Given, too_large, user::UserId, written};
use crate::{
    admin::{Admin, body::Body, openapi as schema, refusal::Refusal},
    clock,
    store::Patched,
};

/// Changes single fields of a profile, or creates it with them; null removes a field.
///
/// Each attribute is replaced as a whole. Changes of different fields at the same time are all done.
#[utoipa::path(
    patch, path = "/profiles/{id}", tag = "profiles", security(("token" = ["editor"])),
    params(("id" = String, Path, description = "the user's id: 1 to 256 bytes, no NUL")),
    request_body(content = schema::NewProfile, example = json!({ "attributes": { "plan": "free", "trial_ends": null } })),
    responses(
        (status = 200, description = "changed", body = schema::WrittenProfile),
        (status = 201, description = "created", body = schema::WrittenProfile),
        (status = 400, description = "the path is not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "what something else stored is no JSON and would be lost; `PUT` replaces it", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "the profile would be longer than 64 KiB, or the body is longer than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the changes are wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn patch(
    State(admin): State<Admin>,
    UserId(user_id): UserId,
    body: Body,
) -> Result<Response, Refusal> {
    let given = Given::read(body.object()?).map_err(Refusal::Invalid)?;
    given.check_user(&user_id).map_err(Refusal::Invalid)?;
    let at = clock::now();
    let is_new = match admin.profile_store.patch_profile(&user_id, &given.parts, at).await? {
        Patched::Created => true,
        Patched::Updated => false,
        Patched::TooLarge(bytes) => return Err(too_large(bytes)),
        Patched::Unreadable => {
            return Err(Refusal::conflict(
                "what something else stored of this user is no JSON object and would be lost; PUT replaces it",
            ));
        }
    };
    admin.forget(&user_id);
    Ok(written(&user_id, is_new, at))
}
