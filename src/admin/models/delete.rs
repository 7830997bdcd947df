//! `DELETE /models/{id}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, documents::Ask, openapi as schema, refusal::Refusal},
    model::ModelDocument,
};

/// Removes a model that no segment asks.
#[utoipa::path(
    delete, path = "/models/{id}", tag = "models", security(("token" = ["editor"])),
    params(
        ("id" = String, Path, description = "the model's id"),
        schema::Writing,
        schema::IfMatch,
    ),
    responses(
        (status = 200, description = "removed", body = serde_json::Value),
        (status = 202, description = "removed, and not yet by all who were waited for", body = serde_json::Value),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such model", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "a segment asks it, or others change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(admin): State<Admin>, ask: Ask) -> Result<Response, Refusal> {
    let held = |id: &str| {
        let snapshot = admin.cell.load();
        let segments: Vec<&str> = snapshot.model_dependents(id).collect();
        let ending = if segments.len() == 1 { "" } else { "s" };
        let names = segments.join(", ");
        (!segments.is_empty()).then(|| format!("{id} is asked by the segment{ending} {names}; change those first"))
    };
    admin.remove::<ModelDocument>(ask, held).await
}
