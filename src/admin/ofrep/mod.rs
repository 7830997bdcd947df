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

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::failure::{ErrorCode, Failure};
use super::{Admin, Told};

pub(super) use events::PATH as EVENTS;

/// What the paths of single evaluations begin with.
const SINGLE: &str = "/ofrep/v1/evaluate/flags/";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(single::evaluate))
        .routes(routes!(bulk::evaluate))
        .routes(routes!(events::events))
        .layer(CatchPanicLayer::custom(failure::panicked))
}

/// A refusal that was decided before any handler (no right, too many requests), in the protocol's shape if the path is one
/// of the protocol's.
pub(super) fn shaped(path: &str, mut refusal: Response) -> Response {
    let below = path.strip_prefix("/ofrep").filter(|below| below.is_empty() || below.starts_with('/'));
    let Some((Told(detail), _)) = refusal.extensions_mut().remove().zip(below) else { return refusal };
    let failure = Failure::new(refusal.status(), ErrorCode::General, detail);
    let failure = if path.starts_with(SINGLE) { failure.of(&key(path)) } else { failure };
    let mut response = failure.into_response();
    // When to try again, and how to show who one is.
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = refusal.headers_mut().remove(&name) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The flag's key in the path of a single evaluation. What is not text cannot be the key of a flag either.
fn key(path: &str) -> String {
    percent_decode_str(path.strip_prefix(SINGLE).unwrap_or_default()).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, http::StatusCode};
    use serde_json::{Value, json};

    use super::*;
    use crate::admin::problem;

    #[tokio::test]
    async fn refusals_speak_the_protocol_below_its_path_only() {
        let problem = |refused: bool| if refused { problem(StatusCode::FORBIDDEN, "no") } else { "ok".into_response() };
        let told = json!({ "errorCode": "GENERAL", "errorDetails": "no" });
        for (path, expected) in [
            ("/ofrep/v1/evaluate/flags", Some(told.clone())),
            (
                "/ofrep/v1/evaluate/flags/a%20b",
                Some(json!({ "key": "a b", "errorCode": "GENERAL", "errorDetails": "no" })),
            ),
            ("/ofrep/v1/events", Some(told.clone())),
            ("/ofrep", Some(told)),
            ("/ofreps", None),
            ("/flags", None),
        ] {
            let response = shaped(path, problem(true));
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            let body = to_bytes(response.into_body(), 1_000).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            match expected {
                Some(expected) => assert_eq!(body, expected, "{path}"),
                None => assert_eq!(body["title"], "Forbidden", "{path}"),
            }
            assert_eq!(shaped(path, problem(false)).status(), StatusCode::OK);
        }
    }
}
