//! `GET /kill-switches/{id}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, conditional::Conditions, documents::Key, openapi as schema, refusal::Refusal},
    model::KillSwitchDocument,
};

/// The whole document; `status` tells whether it kills, since when, who did it and why, and what it did before.
#[utoipa::path(
    get, path = "/kill-switches/{id}", tag = "kill switches", security(("token" = ["viewer"])),
    params(
        ("id" = String, Path, description = "the kill switch's id"),
        ("If-None-Match" = Option<String>, Header, description = "entity tags that are known"),
    ),
    responses(
        (status = 200, description = "the document; `ETag` names its state", body = schema::KillSwitch),
        (status = 304, description = "it is known"),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such kill switch", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "the stored document is damaged", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(State(admin): State<Admin>, Key(id): Key, conditions: Conditions) -> Result<Response, Refusal> {
    admin.show::<KillSwitchDocument>(&id, &conditions).await
}
