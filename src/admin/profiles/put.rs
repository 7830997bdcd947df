//! `PUT /profiles/{id}`.

use axum::{extract::State, response::Response};

use super::{check_size, document::Given, user::UserId, written};
use crate::{
    admin::{Admin, body::Body, openapi as schema, refusal::Refusal},
    clock,
    store::profile_bytes,
};

/// Makes the body a user's whole profile, new or not. Memberships and activity stay.
///
/// What `GET` answered can be sent back: memberships, times and the activity in it say nothing here.
#[utoipa::path(
    put, path = "/profiles/{id}", tag = "profiles", security(("token" = ["editor"])),
    params(("id" = String, Path, description = "the user's id: 1 to 256 bytes, no NUL")),
    request_body(content = schema::NewProfile, example = json!({ "attributes": { "plan": "pro" }, "behavioral_data": { "purchase_count": 7 } })),
    responses(
        (status = 200, description = "replaced", body = schema::WrittenProfile),
        (status = 201, description = "created", body = schema::WrittenProfile),
        (status = 400, description = "the path is not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "the profile would be longer than 64 KiB, or the body is longer than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the profile is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(State(admin): State<Admin>, UserId(user_id): UserId, body: Body) -> Result<Response, Refusal> {
    let given = Given::read(body.object()?).map_err(Refusal::Invalid)?;
    given.check_user(&user_id).map_err(Refusal::Invalid)?;
    let profile = given.profile();
    check_size(profile_bytes(&profile))?;
    let at = clock::now();
    let is_new = admin.profile_store.put_profile(&user_id, &profile, at).await?;
    admin.forget(&user_id);
    Ok(written(&user_id, is_new, at))
}
