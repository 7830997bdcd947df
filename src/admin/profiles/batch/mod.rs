//! `POST /profiles:batch`.

mod import;
mod lines;
mod tally;

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use self::import::Import;
use crate::admin::{Admin, openapi as schema, refusal::Refusal};

/// Content types of a JSON object on each line. Others are refused, which also keeps simple cross-site forms out.
const READ: [&str; 5] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-lines",
];

/// Writes profiles as they come: one on each line, as `PUT` takes it, with its `user_id`.
///
/// The body may be as long as it likes; it is not held in memory. The answer begins at once and has a line about twice a
/// second, `{done, failed, rate}`, and a last one that also has `complete`, `seconds`, and `errors`: the first hundred lines
/// that are wrong, each with its number. A line that is wrong does not stop the others. Of a user who comes twice the later
/// line stays. When the store fails, `complete` is false, `error` says why, and `resume_at_line` is the first line that may
/// not be written; writing a line again does no harm. An import ends with its connection, and when nothing comes for 30
/// seconds.
#[utoipa::path(
    post, path = "/profiles:batch", tag = "profiles", security(("token" = ["editor"])),
    request_body(content = String, content_type = "application/x-ndjson", description = "a profile on each line, of at most 64 KiB",
        example = "{\"user_id\":\"ann\",\"attributes\":{\"plan\":\"pro\"},\"behavioral_data\":{\"purchase_count\":7}}\n{\"user_id\":\"bob\",\"attributes\":{\"plan\":\"free\"}}\n"),
    responses(
        (status = 200, description = "how it goes on, a JSON object on each line; the last one says how it ended", content_type = "application/x-ndjson", body = String,
            example = "{\"done\":10250,\"failed\":1,\"rate\":20502.0}\n{\"done\":19999,\"failed\":1,\"rate\":20833.3,\"seconds\":0.96,\"complete\":true,\"errors\":[{\"line\":7,\"message\":\"/behavioral_data/visits: behavioral data are numbers\"}]}\n"),
        (status = 415, description = "the body is not NDJSON by its Content-Type", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn batch(State(admin): State<Admin>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| !kind.to_str().is_ok_and(is_read)) {
        let detail = "send application/x-ndjson: a JSON object on each line".to_owned();
        return Err(Refusal::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    // A store that cannot be reached is better told by the status than by the first line.
    admin.profile_store.stored_profiles(&[]).await?;
    let import = Import::new(admin, body);
    let told = stream::unfold(import, async |mut import| {
        let line = import.next().await?;
        Some((Ok::<_, Infallible>(line), import))
    });
    let head = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, Body::from_stream(told)).into_response())
}

fn is_read(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    READ.contains(&essence.as_str())
}
