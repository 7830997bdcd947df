//! Calls of gRPC, as far as the gateway has to know them: its own failures are told in a way that their clients read, and
//! their streams may pause for as long as they like.

use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, SERVER},
    request::Parts,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pingora::{Result, http::ResponseHeader};

use super::response;

/// What a status message cannot carry as it is (gRPC over HTTP/2, "Status-Message").
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Whether a request is a call: its content type says so.
pub(super) fn is_call(request: &Parts) -> bool {
    has_type(request, "application/grpc")
}

/// Whether the answer may pause for longer than it took to begin: that of a call, and events.
pub(super) fn may_pause(request: &Parts) -> bool {
    let accepts = request.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    is_call(request) || accepts.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// An answer that is a refusal and nothing more ("Trailers-Only").
pub(super) fn refusal(status: StatusCode, detail: &str) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(StatusCode::OK, Some(4))?;
    header.insert_header(SERVER, response::SERVER_NAME)?;
    header.insert_header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))?;
    header.insert_header("grpc-status", code(status))?;
    header.insert_header("grpc-message", utf8_percent_encode(detail, ENCODED).to_string())?;
    Ok(header)
}

/// What a status of HTTP is in gRPC ("HTTP to gRPC Status Code Mapping").
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// Whether the content type is this one, perhaps with `+` or parameters behind it.
fn has_type(request: &Parts, wanted: &str) -> bool {
    let rest = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.as_bytes().strip_prefix(wanted.as_bytes()));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_their_type() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let request = http::Request::builder().header("content-type", kind).body(()).unwrap().into_parts().0;
            assert_eq!((is_call(&request), may_pause(&request)), (expected, expected), "{kind}");
        }
        let events = http::Request::builder().header("accept", "text/event-stream").body(()).unwrap().into_parts().0;
        assert_eq!((is_call(&events), may_pause(&events)), (false, true));
    }

    #[test]
    fn refusals_are_read_by_clients() {
        for (status, code) in [(404, "12"), (503, "14"), (504, "14"), (400, "13"), (413, "2")] {
            let header = refusal(StatusCode::from_u16(status).unwrap(), "no 100 % (\u{e9})").unwrap();
            let value = |name: &str| header.headers[name].to_str().unwrap().to_owned();
            assert_eq!((header.status.as_u16(), value("grpc-status").as_str()), (200, code), "{status}");
            assert_eq!(value("grpc-message"), "no 100 %25 (%C3%A9)");
        }
    }
}
