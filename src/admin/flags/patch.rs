//! `PATCH /flags/{key}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, body::Body, documents::Ask, openapi as schema, refusal::Refusal},
    model::FlagDocument,
};

/// Changes the fields that the body names: `{"success": true}`. No concurrent change is lost.
#[utoipa::path(
    patch, path = "/flags/{key}", tag = "flags", security(("token" = ["editor"])),
    params(
        ("key" = String, Path, description = "the flag's key"),
        schema::Writing,
        schema::IfMatch,
    ),
    request_body(content = serde_json::Value, description = "the fields to change", example = json!({ "rollout_percentage": 25 })),
    responses(
        (status = 200, description = "changed", body = schema::Written),
        schema::Changing,
        (status = 404, description = "no such flag", body = schema::Refusal),
        (status = 409, description = "the stored document is damaged, or others change it all the time", body = schema::Refusal),
        (status = 413, description = "larger than 1 MiB", body = schema::Refusal),
        (status = 422, description = "the document would be wrong, in each of these places", body = schema::Refusal),
    )
)]
pub(super) async fn patch(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    admin.patch::<FlagDocument>(ask, body.object()?).await
}
