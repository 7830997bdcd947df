//! `PUT /flags/{key}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, body::Body, documents::Ask, openapi as schema, refusal::Refusal},
    model::FlagDocument,
};

/// Makes the body the whole document of a flag, new or not: `{"success": true, "flag_key": …}`, 201 when it is new. What
/// was there may be damaged.
#[utoipa::path(
    put, path = "/flags/{key}", tag = "flags", security(("token" = ["editor"])),
    params(
        ("key" = String, Path, description = "the flag's key"),
        schema::Writing,
        schema::IfMatch,
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such flag"),
    ),
    request_body(content = schema::Flag, example = json!({ "name": "New checkout", "enabled": true })),
    responses(
        (status = 200, description = "replaced, or as it was", body = schema::Written),
        (status = 201, description = "created", body = schema::Written),
        schema::Changing,
        (status = 409, description = "others change it all the time", body = schema::Refusal),
        (status = 413, description = "larger than 1 MiB", body = schema::Refusal),
        (status = 422, description = "the document is wrong, in each of these places", body = schema::Refusal),
    )
)]
pub(super) async fn put(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    admin.put::<FlagDocument>(ask, body.object()?).await
}
