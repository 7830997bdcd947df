//! `/ofrep/v1`: version 0.3 of the OpenFeature Remote Evaluation Protocol, by which any OpenFeature SDK asks the gateway.
//!
//! The protocol's own documents are in `tests/data/ofrep`.

mod answer;
mod bulk;
mod etag;
mod events;
mod failure;
mod request;
mod single;

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::failure::{ErrorCode, Failure};
use super::Admin;

/// What the paths of single evaluations begin with.
const SINGLE: &str = "/ofrep/v1/evaluate/flags/";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(single::evaluate))
        .routes(routes!(bulk::evaluate))
        .routes(routes!(events::events))
        .layer(CatchPanicLayer::custom(failure::panicked))
}

/// A refusal that is decided before any handler (no right, too many requests), in the protocol's shape; `None`: the path
/// is not one of the protocol's.
pub(super) fn refusal(path: &str, status: StatusCode, detail: &str, retry_after: Option<Duration>) -> Option<Response> {
    let below = path.strip_prefix("/ofrep")?;
    (below.is_empty() || below.starts_with('/')).then(|| {
        let failure = Failure::new(status, ErrorCode::General, detail).retried_after(retry_after);
        let failure = if path.starts_with(SINGLE) { failure.of(&key(path)) } else { failure };
        failure.into_response()
    })
}

/// The flag's key in the path of a single evaluation. What is not text cannot be the key of a flag either.
fn key(path: &str) -> String {
    percent_decode_str(path.strip_prefix(SINGLE).unwrap_or_default()).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn refusals_speak_the_protocol_below_its_path_only() {
        let soon = Some(Duration::from_millis(1_200));
        for (path, expected) in [
            ("/ofrep/v1/evaluate/flags", Some(json!({ "errorCode": "GENERAL", "errorDetails": "no" }))),
            (
                "/ofrep/v1/evaluate/flags/a%20b",
                Some(json!({ "key": "a b", "errorCode": "GENERAL", "errorDetails": "no" })),
            ),
            ("/ofrep/v1/events", Some(json!({ "errorCode": "GENERAL", "errorDetails": "no" }))),
            ("/ofrep", Some(json!({ "errorCode": "GENERAL", "errorDetails": "no" }))),
            ("/ofreps", None),
            ("/flags", None),
        ] {
            let response = refusal(path, StatusCode::TOO_MANY_REQUESTS, "no", soon);
            let Some(response) = response else {
                assert_eq!(expected, None, "{path}");
                continue;
            };
            assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (429, &b"2"[..]));
            let body = to_bytes(response.into_body(), 1_000).await.unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&body).ok(), expected, "{path}");
        }
    }
}
