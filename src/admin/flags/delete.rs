//! `DELETE /flags/{key}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, documents::Ask, openapi as schema, refusal::Refusal},
    model::FlagDocument,
};

/// Removes a flag, unless another one rests on it: `{"success": true}`.
#[utoipa::path(
    delete, path = "/flags/{key}", tag = "flags", security(("token" = ["editor"])),
    params(
        ("key" = String, Path, description = "the flag's key"),
        ("wait" = Option<String>, Query, description = "`all` or a number: answer once so many live gateways serve the change, 202 if they do not in time"),
        ("timeout" = Option<f64>, Query, description = "for how many seconds to wait, 25 at most; 2 unless given"),
        ("dry_run" = Option<bool>, Query, description = "only say what would be done"),
        ("If-Match" = Option<String>, Header, description = "only if the flag still has one of these entity tags"),
    ),
    responses(
        (status = 200, description = "removed", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Refusal),
        (status = 404, description = "no such flag", body = schema::Refusal),
        (status = 409, description = "another flag rests on it, or others change it all the time", body = schema::Refusal),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Refusal),
        (status = 422, description = "a parameter is wrong", body = schema::Refusal),
    )
)]
pub(super) async fn delete(State(admin): State<Admin>, ask: Ask) -> Result<Response, Refusal> {
    let held = |key: &str| {
        let snapshot = admin.cell.load();
        let dependents: Vec<&str> = snapshot.dependents(key).collect();
        let told = || format!("{key} is a parent or prerequisite of {}; change those first", dependents.join(", "));
        (!dependents.is_empty()).then(told)
    };
    admin.remove::<FlagDocument>(ask, held).await
}
