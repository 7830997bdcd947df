//! `PUT /kill-switches/{id}`.

use axum::{extract::State, response::Response};

use super::without_status;
use crate::{
    admin::{Admin, body::Body, documents::Ask, openapi as schema, refusal::Refusal},
    model::KillSwitchDocument,
};

/// Makes the body the whole document of a kill switch, new or not: `{"success": true, "kill_switch_id": …}`, 201 when it
/// is new. Whether it kills stays as it is.
#[utoipa::path(
    put, path = "/kill-switches/{id}", tag = "kill switches", security(("token" = ["operator"])),
    params(
        ("id" = String, Path, description = "the kill switch's id"),
        schema::Writing,
        schema::IfMatch,
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such kill switch"),
    ),
    request_body(content = schema::KillSwitch, example = json!({ "name": "Europe", "scope": "region", "scope_value": "eu-west-1", "exempt_critical": true })),
    responses(
        (status = 200, description = "replaced, or as it was", body = schema::Written),
        (status = 201, description = "created", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "others change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the document is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    admin.put::<KillSwitchDocument>(ask, without_status(body)?).await
}
