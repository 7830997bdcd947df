//! Error bodies (RFC 9457).

use bytes::Bytes;
use pingora::{Result, http::ResponseHeader, proxy::Session};
use serde_json::json;

/// Answers a request with a problem. The connection is closed when the request's body may not have been read.
pub(super) async fn respond(session: &mut Session, status: u16, detail: &str, request_id: &str) -> Result<()> {
    let title = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
    let wants_html = session
        .req_header()
        .headers
        .get("accept")
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let (kind, body) = if wants_html {
        let (detail, request_id) = (escape(detail), escape(request_id));
        let page = format!(
            "<!doctype html><title>{status} {title}</title><h1>{status} {title}</h1><p>{detail}</p><p>Request id: {request_id}</p>\n"
        );
        ("text/html; charset=utf-8", page)
    } else {
        let problem = json!({ "type": "about:blank", "title": title, "status": status, "detail": detail, "request_id": request_id });
        ("application/problem+json", problem.to_string())
    };
    let mut header = ResponseHeader::build(status, Some(4))?;
    header.insert_header("Server", "flaggate")?;
    header.insert_header("Content-Type", kind)?;
    header.insert_header("Content-Length", body.len())?;
    header.insert_header("Cache-Control", "no-store")?;
    let is_head = session.req_header().method == http::Method::HEAD;
    session.set_keepalive(None);
    session.write_response_header(Box::new(header), is_head).await?;
    if is_head {
        return Ok(());
    }
    session.write_response_body(Some(Bytes::from(body)), true).await
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
