//! `POST /kill-switches`.

use axum::{extract::State, http::StatusCode, response::Response};

use super::without_status;
use crate::{
    admin::{Admin, body::Body, documents::Creation, openapi as schema, refusal::Refusal},
    model::KillSwitchDocument,
};

/// Creates a kill switch, which kills nothing until it is activated: `{"success": true, "kill_switch_id": …}`.
#[utoipa::path(
    post, path = "/kill-switches", tag = "kill switches", security(("token" = ["operator"])),
    params(
        schema::Writing,
    ),
    request_body(content = schema::NewKillSwitch, example = json!({ "id": "checkout", "name": "Checkout", "affected_features": ["new-checkout", "tag:checkout"], "auto_trigger_enabled": true, "error_threshold": 10 })),
    responses(
        (status = 200, description = "what would be done, with `dry_run`", body = schema::Written),
        (status = 201, description = "created; `ETag` names its state", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 409, description = "there is such a kill switch", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the document is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(State(admin): State<Admin>, creation: Creation, body: Body) -> Result<Response, Refusal> {
    admin.create::<KillSwitchDocument>(creation, without_status(body)?, StatusCode::CREATED).await
}
