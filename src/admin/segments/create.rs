//! `POST /segments`.

use axum::{extract::State, http::StatusCode, response::Response};

use crate::{
    admin::{Admin, body::Body, documents::Creation, openapi as schema, refusal::Refusal},
    model::SegmentDocument,
};

/// Creates a segment: `{"success": true, "segment_id": …}`.
#[utoipa::path(
    post, path = "/segments", tag = "segments", security(("token" = ["editor"])),
    params(
        schema::Writing,
    ),
    request_body(content = schema::NewSegment, example = json!({ "id": "big_spenders", "name": "Big spenders", "rules": [{ "field": "lifetime_value", "operator": "greater_than", "value": 500 }] })),
    responses(
        (status = 200, description = "what would be done, with `dry_run`", body = schema::Written),
        (status = 201, description = "created; `ETag` names its state", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 409, description = "there is such a segment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the document is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(State(admin): State<Admin>, creation: Creation, body: Body) -> Result<Response, Refusal> {
    admin.create::<SegmentDocument>(creation, body.object()?, StatusCode::CREATED).await
}
