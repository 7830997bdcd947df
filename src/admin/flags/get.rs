//! `GET /flags/{key}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, conditional::Conditions, documents::Key, openapi as schema, refusal::Refusal},
    model::FlagDocument,
};

/// The whole document, with the defaults of fields that were not set; 304 for who has it already.
#[utoipa::path(
    get, path = "/flags/{key}", tag = "flags", security(("token" = ["viewer"])),
    params(
        ("key" = String, Path, description = "the flag's key"),
        ("If-None-Match" = Option<String>, Header, description = "entity tags that the caller has; 304 if it is one of them"),
    ),
    responses(
        (status = 200, description = "the flag; `ETag` names its state", body = schema::Flag),
        (status = 304, description = "the caller has it already"),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Refusal),
        (status = 404, description = "no such flag", body = schema::Refusal),
        (status = 409, description = "the stored document is damaged", body = schema::Refusal),
        (status = 412, description = "it is not as the conditions expect", body = schema::Refusal),
    )
)]
pub(super) async fn get(
    State(admin): State<Admin>,
    Key(key): Key,
    conditions: Conditions,
) -> Result<Response, Refusal> {
    admin.show::<FlagDocument>(&key, &conditions).await
}
