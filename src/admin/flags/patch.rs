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
        ("wait" = Option<String>, Query, description = "`all` or a number: answer once so many live gateways serve the change, 202 if they do not in time"),
        ("timeout" = Option<f64>, Query, description = "for how many seconds to wait, 25 at most; 2 unless given"),
        ("dry_run" = Option<bool>, Query, description = "only say what would be done"),
        ("If-Match" = Option<String>, Header, description = "only if the flag still has one of these entity tags"),
    ),
    request_body(content = serde_json::Value, description = "the fields to change", example = json!({ "rollout_percentage": 25 })),
    responses(
        (status = 200, description = "changed", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Refusal),
        (status = 404, description = "no such flag", body = schema::Refusal),
        (status = 409, description = "the stored document is damaged, or others change it all the time", body = schema::Refusal),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Refusal),
        (status = 413, description = "larger than 1 MiB", body = schema::Refusal),
        (status = 422, description = "the document would be wrong, in each of these places", body = schema::Refusal),
    )
)]
pub(super) async fn patch(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    admin.patch::<FlagDocument>(ask, body.object()?).await
}
