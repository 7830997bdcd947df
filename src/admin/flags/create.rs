//! `POST /flags`.

use axum::{extract::State, http::StatusCode, response::Response};

use crate::{
    admin::{Admin, body::Body, documents::Creation, openapi as schema, refusal::Refusal},
    model::FlagDocument,
};

/// Creates a flag: `{"success": true, "flag_key": …}`.
#[utoipa::path(
    post, path = "/flags", tag = "flags", security(("token" = ["editor"])),
    params(
        ("wait" = Option<String>, Query, description = "`all` or a number: answer once so many live gateways serve the change, 202 if they do not in time"),
        ("timeout" = Option<f64>, Query, description = "for how many seconds to wait, 25 at most; 2 unless given"),
        ("dry_run" = Option<bool>, Query, description = "only say what would be done"),
    ),
    request_body(content = schema::NewFlag, example = json!({ "key": "new-checkout", "name": "New checkout", "rollout_enabled": true, "rollout_percentage": 10 })),
    responses(
        (status = 200, description = "created", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 409, description = "there is such a flag", body = schema::Refusal),
        (status = 413, description = "larger than 1 MiB", body = schema::Refusal),
        (status = 422, description = "the document is wrong, in each of these places", body = schema::Refusal),
    )
)]
pub(super) async fn create(State(admin): State<Admin>, creation: Creation, body: Body) -> Result<Response, Refusal> {
    admin.create::<FlagDocument>(creation, body.object()?, StatusCode::OK).await
}
