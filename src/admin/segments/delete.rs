//! `DELETE /segments/{id}`.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, documents::Ask, openapi as schema, refusal::Refusal},
    model::SegmentDocument,
};

/// Removes a segment, unless another one, a flag or a kill switch names it: `{"success": true}`.
#[utoipa::path(
    delete, path = "/segments/{id}", tag = "segments", security(("token" = ["editor"])),
    params(
        ("id" = String, Path, description = "the segment's id"),
        schema::Writing,
        schema::IfMatch,
    ),
    responses(
        (status = 200, description = "removed", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such segment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "others name it, which the detail lists, or change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(admin): State<Admin>, ask: Ask) -> Result<Response, Refusal> {
    let held = |id: &str| {
        let (segments, flags) = admin.cell.load().segment_dependents(id);
        let named = |what: &str, names: &[Arc<str>]| {
            (!names.is_empty()).then(|| format!("{what}{} {}", plural(what, names.len()), names.join(", ")))
        };
        let switches: Vec<Arc<str>> = admin.cell.load().kill_switches_of(id).map(Arc::from).collect();
        let by = [named("segment", &segments), named("flag", &flags), named("kill switch", &switches)];
        let by: Vec<String> = by.into_iter().flatten().collect();
        (!by.is_empty()).then(|| format!("{id} is named by the {}; change those first", by.join(" and the ")))
    };
    admin.remove::<SegmentDocument>(ask, held).await
}

fn plural(what: &str, count: usize) -> &'static str {
    match (count, what.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    }
}
