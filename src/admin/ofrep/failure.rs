//! Evaluations that fail: `{key, errorCode, errorDetails}`.

use std::{any::Any, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::admin::access;

/// Why an evaluation fails, in OpenFeature's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = OfrepErrorCode)]
pub(super) enum ErrorCode {
    /// The request's body, or the flag's document, cannot be read.
    ParseError,
    /// The flag draws users by their id, and there is none.
    TargetingKeyMissing,
    /// The context is not one.
    InvalidContext,
    /// There is no such flag.
    FlagNotFound,
    /// Anything else.
    General,
}

/// One evaluation that failed, by itself or among others.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OfrepFailure)]
pub(super) struct Failure {
    /// The flag's key; absent where the request was for all flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    key: Option<String>,
    error_code: ErrorCode,
    /// What is wrong, for people.
    error_details: String,
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// How the guard refuses every operation of the protocol, for their annotations.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the guard answers so; here it is told")]
pub(super) enum Refused {
    /// There is no valid token
    #[response(status = 401)]
    Unknown(Failure),
    /// The token has not the right, or the request comes from elsewhere
    #[response(status = 403)]
    Forbidden(Failure),
    /// Too many requests
    #[response(status = 429, headers(("Retry-After" = u64, description = "Seconds until another request is answered")))]
    TooMany(Failure),
}

/// How evaluations can fail, one as all together, for their annotations.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the handlers answer so; here it is told")]
pub(super) enum Unanswered {
    /// The body is larger than 1 MiB
    #[response(status = 413)]
    TooLarge(Failure),
    /// An unexpected error
    #[response(status = 500)]
    Unexpected(Failure),
    /// There are no flags yet: the store has not answered
    #[response(status = 503, headers(("Retry-After" = u64, description = "Seconds until it is worth another try")))]
    NoFlags(Failure),
}

impl Failure {
    pub(super) fn new(status: StatusCode, error_code: ErrorCode, details: impl Into<String>) -> Self {
        Self { key: None, error_code, error_details: details.into(), status, retry_after: None }
    }

    /// 400.
    pub(super) fn bad(error_code: ErrorCode, details: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error_code, details)
    }

    /// 404.
    pub(super) fn not_found(key: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::FlagNotFound, format!("there is no flag {key:?}")).of(key)
    }

    /// 503: nothing can be evaluated yet.
    pub(super) fn no_snapshot() -> Self {
        let details = "there are no flags yet: the store has not answered";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::General, details)
            .retried_after(Some(Duration::from_secs(1)))
    }

    /// The same, for one flag.
    pub(super) fn of(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// The same, and when it is worth another try.
    pub(super) fn retried_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let mut response = (status, Json(self)).into_response();
        if let Some(after) = retry_after {
            // Whole seconds, and never too early.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The answer in place of a handler that panicked.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    access::log_panic(&*panic);
    let details = "an unexpected error prevented the evaluation; the gateway's log tells more";
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::General, details).into_response()
}
