//! `PUT /segments/{id}`.

use axum::{extract::State, response::Response};

use crate::{
    admin::{Admin, body::Body, documents::Ask, openapi as schema, refusal::Refusal},
    model::SegmentDocument,
};

/// Makes the body the whole document of a segment, new or not: `{"success": true, "segment_id": …}`, 201 when it is new.
/// What was there may be damaged. Who created it when, and its estimated size, stay as they are.
#[utoipa::path(
    put, path = "/segments/{id}", tag = "segments", security(("token" = ["editor"])),
    params(
        ("id" = String, Path, description = "the segment's id"),
        schema::Writing,
        schema::IfMatch,
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such segment"),
    ),
    request_body(content = schema::Segment, example = json!({ "name": "Phones", "type": "composite", "expression": "ios OR android" })),
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
    admin.put::<SegmentDocument>(ask, body.object()?).await
}
