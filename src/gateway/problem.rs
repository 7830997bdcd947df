//! Error bodies (RFC 9457).

use http::{StatusCode, request::Parts};
use serde_json::json;

/// The content type and the body of a problem: a page for a client that takes HTML, JSON otherwise.
pub(super) fn render(
    request: &Parts,
    status: StatusCode,
    code: &str,
    detail: &str,
    request_id: &str,
) -> (&'static str, String) {
    let title = status.canonical_reason().unwrap_or("Error");
    let number = status.as_u16();
    let accept = request.headers.get("accept").and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        let (detail, request_id) = (escape(detail), escape(request_id));
        let page = format!(
            "<!doctype html><title>{number} {title}</title><h1>{number} {title}</h1><p>{detail}</p><p>Request id: {request_id}</p>\n"
        );
        return ("text/html; charset=utf-8", page);
    }
    let problem = json!({
        "type": "about:blank", "title": title, "status": number, "detail": detail, "code": code, "request_id": request_id,
    });
    ("application/problem+json", problem.to_string())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
