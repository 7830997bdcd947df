//! `DELETE /kill-switches/{id}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, documents::Ask, openapi as schema, refusal::Refusal},
    model::KillSwitchDocument,
};

/// Removes a kill switch that kills nothing: `{"success": true}`.
#[utoipa::path(
    delete, path = "/kill-switches/{id}", tag = "kill switches", security(("token" = ["operator"])),
    params(
        ("id" = String, Path, description = "the kill switch's id"),
        schema::Writing,
        schema::IfMatch,
    ),
    responses(
        (status = 200, description = "removed", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such kill switch", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "it kills at the moment, or others change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(admin): State<Admin>, ask: Ask) -> Result<Response, Refusal> {
    let snapshot = admin.cell.load();
    let held = |id: &str| {
        let status = snapshot.kill_switch(id).and_then(|switch| switch.status().ok());
        let state = status.filter(crate::model::KillStatus::is_active).map(|status| status.state.as_str());
        state.map(|state| format!("{id} is {state}: what it kills would come back unseen; deactivate it first"))
    };
    admin.remove::<KillSwitchDocument>(ask, held).await
}
