//! Requests that no upstream answers: what the client is told, and how the connection goes on.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER, SERVER, WWW_AUTHENTICATE},
};
use pingora::{Error, ErrorSource, ErrorType, Result, http::ResponseHeader, proxy::Session};

use super::{explained::DECISION, grpc, problem, response};
use crate::telemetry::TokenOutcome;

/// The code of a request for which no endpoint can be had.
pub(super) const NO_ENDPOINT: &str = "no_endpoint";

/// The code of a request whose client went away.
pub(super) const CLIENT_CLOSED: &str = "client_closed";

/// The code of a request that its upstream did not answer in time.
pub(super) const TIMED_OUT: &str = "upstream_timed_out";

/// The codes of requests that their upstream did not answer.
const UPSTREAMS: [&str; 6] =
    [NO_ENDPOINT, TIMED_OUT, "connect_timed_out", "connect_failed", "upstream_closed", "upstream_invalid"];

/// Whether a failure of this code is the upstream's.
pub(super) fn is_upstreams(code: &str) -> bool {
    UPSTREAMS.contains(&code)
}

/// What says that an upstream cannot be reached, or not be believed to be itself.
const NO_CONNECTION: [ErrorType; 7] = [
    ErrorType::ConnectRefused,
    ErrorType::ConnectNoRoute,
    ErrorType::ConnectError,
    ErrorType::SocketError,
    ErrorType::TLSHandshakeFailure,
    ErrorType::InvalidCert,
    ErrorType::HandshakeError,
];

/// How much of a body that nobody wants is read before the answer, so that the client may keep the connection.
const SMALL_BODY: usize = 64 * 1024;

/// How much of it is read after the answer, so that the client reads that instead of a reset.
const UNWANTED_BYTES: usize = 64 * 1024 * 1024;

/// How long a body that nobody wants is read, before and after.
const UNWANTED_TIME: Duration = Duration::from_secs(1);

/// Why a request was not answered by an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What the client is told; none when it is gone.
    pub(super) status: Option<StatusCode>,
    /// One word for the access log and the problem's type.
    pub(super) code: &'static str,
    /// A sentence for the client; nothing of the inside.
    pub(super) detail: String,
    /// Whether the connection cannot be trusted any more: what follows might not be a request.
    pub(super) close: bool,
    /// How the client could show who it is (RFC 6750, 3).
    pub(super) challenge: Option<&'static str>,
    /// The limit that it is over.
    pub(super) limited: Option<Limited>,
}

/// The limit that a request is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    /// Requests in a window.
    pub(super) requests: u64,
    /// The window, in seconds.
    pub(super) window: u64,
    /// How long until the next request is taken, in seconds.
    pub(super) wait: u64,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status: Some(status), code, detail: detail.into(), close: false, challenge: None, limited: None }
    }

    /// The route ends what lives long when its decision changes.
    pub(super) fn drained() -> Self {
        Self { status: None, code: "drained", detail: String::new(), close: true, challenge: None, limited: None }
    }

    pub(super) fn limited(limited: Limited) -> Self {
        let detail = "there were more requests than this route takes";
        Self { limited: Some(limited), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail) }
    }

    pub(super) fn request_too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_too_slow", "the request's body came too slowly")
    }

    pub(super) fn body_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the request's body is larger than this route takes")
    }

    /// There is no token, or it is not good.
    pub(super) fn unauthenticated(token: Option<TokenOutcome>) -> Self {
        let (challenge, detail) = match token {
            None => ("Bearer", "this needs a token".to_owned()),
            Some(TokenOutcome::Expired) => {
                let challenge = "Bearer error=\"invalid_token\", error_description=\"the token has expired\"";
                (challenge, "the token has expired".to_owned())
            }
            Some(outcome) => ("Bearer error=\"invalid_token\"", format!("the token is not good: {}", outcome.as_str())),
        };
        let failure = Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
        Self { challenge: Some(challenge), ..failure }
    }

    /// What an error of pingora's means; `late`: the time until the response's header is over; `known`: what the
    /// gateway itself found before.
    pub(super) fn of(error: &Error, late: bool, known: Option<&'static str>) -> Self {
        if late {
            return Self::timed_out();
        }
        match (error.esource(), error.etype()) {
            (_, ErrorType::HTTPStatus(413)) => Self::body_too_large(),
            (_, ErrorType::HTTPStatus(408)) | (ErrorSource::Downstream, ErrorType::ReadTimedout) => {
                Self::request_too_slow()
            }
            (_, ErrorType::HTTPStatus(503)) => {
                let detail = "no endpoint can take the request";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, known.unwrap_or(NO_ENDPOINT), detail)
            }
            (ErrorSource::Upstream, kind) => Self::of_upstream(kind),
            (
                ErrorSource::Downstream,
                ErrorType::ReadError | ErrorType::WriteError | ErrorType::WriteTimedout | ErrorType::ConnectionClosed,
            ) => Self {
                status: None,
                code: CLIENT_CLOSED,
                detail: String::new(),
                close: true,
                challenge: None,
                limited: None,
            },
            (ErrorSource::Downstream, _) => {
                Self { close: true, ..Self::new(StatusCode::BAD_REQUEST, "bad_request", "the request is malformed") }
            }
            (ErrorSource::Internal | ErrorSource::Unset, _) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the gateway failed")
            }
        }
    }

    fn of_upstream(kind: &ErrorType) -> Self {
        let bad_gateway = |code, detail: &str| Self::new(StatusCode::BAD_GATEWAY, code, detail);
        if [ErrorType::ReadTimedout, ErrorType::WriteTimedout].contains(kind) {
            return Self::timed_out();
        }
        if [ErrorType::ConnectTimedout, ErrorType::TLSHandshakeTimedout].contains(kind) {
            return Self { code: "connect_timed_out", ..Self::timed_out() };
        }
        if NO_CONNECTION.contains(kind) {
            return bad_gateway("connect_failed", "the upstream cannot be reached");
        }
        if [ErrorType::ReadError, ErrorType::WriteError, ErrorType::ConnectionClosed, ErrorType::H2Error].contains(kind)
        {
            return bad_gateway("upstream_closed", "the upstream closed the connection");
        }
        bad_gateway("upstream_invalid", "the upstream's response is invalid")
    }

    fn timed_out() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, TIMED_OUT, "the upstream did not answer in time")
    }

    /// Whether it is the gateway's own fault.
    pub(super) fn is_ours(&self) -> bool {
        self.status == Some(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Sends a problem. A small body is read first, so that the client may keep its connection; the rest of a large one is
/// read afterwards for a moment, so that the client reads its answer instead of a reset.
pub(super) async fn respond(
    session: &mut Session,
    request_id: &str,
    explained: Option<&HeaderValue>,
    failure: &Failure,
) -> Result<()> {
    let Some(status) = failure.status else { return Ok(()) };
    if session.as_downstream().is_http2() {
        return respond_on_stream(session, request_id, explained, status, failure).await;
    }
    if failure.close {
        session.set_keepalive(None);
    } else if session.get_keepalive().is_some() && session.get_header(EXPECT).is_none() {
        discard_body(session, request_id, SMALL_BODY).await;
    }
    let (header, body) = problem(session, request_id, explained, status, failure)?;
    session.write_response_header(Box::new(header), false).await?;
    session.write_response_body(Some(body), true).await?;
    discard_body(session, request_id, UNWANTED_BYTES).await;
    Ok(())
}

/// The same on a stream of HTTP/2, which ends with its answer: other requests on the connection do not mind.
async fn respond_on_stream(
    session: &mut Session,
    request_id: &str,
    explained: Option<&HeaderValue>,
    status: StatusCode,
    failure: &Failure,
) -> Result<()> {
    if grpc::is_call(session.req_header()) {
        let header = grpc::refusal(status, &failure.detail)?;
        return session.write_response_header(Box::new(header), true).await;
    }
    let (header, body) = problem(session, request_id, explained, status, failure)?;
    let is_head = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(header), is_head).await?;
    if is_head {
        return Ok(());
    }
    session.write_response_body(Some(body), true).await
}

fn problem(
    session: &Session,
    request_id: &str,
    explained: Option<&HeaderValue>,
    status: StatusCode,
    failure: &Failure,
) -> Result<(ResponseHeader, Bytes)> {
    let (kind, body) = problem::render(session.req_header(), status, failure.code, &failure.detail, request_id);
    let mut header = ResponseHeader::build(status, Some(9))?;
    header.insert_header(SERVER, response::SERVER_NAME)?;
    header.insert_header(CONTENT_TYPE, kind)?;
    header.insert_header(CONTENT_LENGTH, body.len())?;
    header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    if let Some(decision) = explained {
        header.insert_header(DECISION, decision.clone())?;
    }
    if let Some(challenge) = failure.challenge {
        header.insert_header(WWW_AUTHENTICATE, challenge)?;
    }
    if let Some(Limited { requests, window, wait }) = failure.limited {
        // draft-ietf-httpapi-ratelimit-headers-10
        header.insert_header("RateLimit-Policy", format!("\"default\";q={requests};w={window}"))?;
        header.insert_header("RateLimit", format!("\"default\";r=0;t={wait}"))?;
        header.insert_header(RETRY_AFTER, wait)?;
    }
    Ok((header, Bytes::from(body)))
}

/// Reads the body that is left, as far as it is bearable. What remains then ends with the connection.
async fn discard_body(session: &mut Session, request_id: &str, limit: usize) {
    let mut left = limit;
    let reading = async {
        while !session.is_body_done() {
            match session.read_request_body().await {
                Ok(Some(bytes)) if bytes.len() <= left => left -= bytes.len(),
                Ok(_) | Err(_) => return,
            }
        }
    };
    if tokio::time::timeout(UNWANTED_TIME, reading).await.is_err() {
        tracing::debug!(request_id, "gave up reading a request's body that nobody wants");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(error: &Error) -> Option<u16> {
        Failure::of(error, false, None).status.map(|status| status.as_u16())
    }

    #[test]
    fn the_one_at_fault_decides_the_status() {
        for (error, expected) in [
            (Error::new_up(ErrorType::ConnectTimedout), Some(504)),
            (Error::new_up(ErrorType::ReadTimedout), Some(504)),
            (Error::new_up(ErrorType::ConnectRefused), Some(502)),
            (Error::new_up(ErrorType::ConnectionClosed), Some(502)),
            (Error::new_up(ErrorType::InvalidHTTPHeader), Some(502)),
            (Error::new_up(ErrorType::HTTPStatus(503)), Some(503)),
            (Error::new_down(ErrorType::HTTPStatus(413)), Some(413)),
            (Error::new_down(ErrorType::ReadTimedout), Some(408)),
            (Error::new_down(ErrorType::InvalidHTTPHeader), Some(400)),
            (Error::new_down(ErrorType::ConnectionClosed), None),
            (Error::new_in(ErrorType::InternalError), Some(500)),
        ] {
            assert_eq!(status(&error), expected, "{error}");
            let code = Failure::of(&error, false, None).code;
            assert_eq!(is_upstreams(code), matches!(expected, Some(502..=504)), "{error}");
        }
    }

    #[test]
    fn a_late_response_is_the_upstreams_fault_whatever_ended_the_wait() {
        let failure = Failure::of(&Error::new_down(ErrorType::ReadError), true, None);
        assert_eq!(failure.status, Some(StatusCode::GATEWAY_TIMEOUT));
    }
}
