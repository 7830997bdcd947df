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
        schema::Writing,
        schema::IfMatch,
    ),
    responses(
        (status = 200, description = "removed", body = schema::Written),
        schema::Changing,
        (status = 404, description = "no such flag", body = schema::Refusal),
        (status = 409, description = "another flag rests on it, or others change it all the time", body = schema::Refusal),
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
