//! `/ui/`: the dashboard, embedded as `make ui` built it. Its files are public; what they show they ask the API for, as
//! whoever looks at them.
//!
//! It is no route of the API but its fallback: the pages' addresses are the dashboard's own, and OpenAPI has no word for
//! "every path below". The guard has checked `Host` and `Origin` before.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::refusal::Refusal;

/// What Vite wrote. In debug builds the files are read when they are asked for.
#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Dist;

/// The page that every address below `/ui/` begins with.
const PAGE: &str = "index.html";

/// What is shown where there is no dashboard in the binary.
const ABSENT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>flaggate</title>\n\
    <p>This binary was built without the dashboard. <code>make ui</code> builds it (Node 20.19 or newer), then build \
    flaggate again.</p>\n<p>The API is described at <a href=\"/docs\">/docs</a>.</p>\n";

/// The pages run and load their own files alone, and talk to this listener only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The dashboard, or 404 for what is no part of it.
pub(super) async fn fallback(request: Request) -> Response {
    let path = request.uri().path();
    if path == "/" || path == "/ui" {
        return read_only(&request).unwrap_or_else(|| Redirect::temporary("/ui/").into_response());
    }
    match path.strip_prefix("/ui/") {
        Some(name) => read_only(&request).unwrap_or_else(|| file(name, request.headers())),
        None => Refusal::not_found("Not Found").into_response(),
    }
}

/// The refusal of a method that would change something.
fn read_only(request: &Request) -> Option<Response> {
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return None;
    }
    let refusal = Refusal::Status(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".to_owned());
    Some(([(header::ALLOW, "GET,HEAD")], refusal).into_response())
}

/// A file of the dashboard. What is none is a page's address.
fn file(name: &str, asked: &HeaderMap) -> Response {
    let is_asset = name.starts_with("assets/");
    let name = if is_asset || (!name.is_empty() && Dist::get(name).is_some()) { name } else { PAGE };
    let Some(plain) = Dist::get(name) else {
        if is_asset {
            return Refusal::not_found("Not Found").into_response();
        }
        return (headers(PAGE, "no-store"), ABSENT).into_response();
    };
    // The name of an asset has a print of its content.
    let mut told = headers(name, if is_asset { "public, max-age=31536000, immutable" } else { "no-cache" });
    let print: String = plain.metadata.sha256_hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut compressed = Dist::get(&format!("{name}.gz"));
    if compressed.is_some() {
        told.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    compressed = compressed.filter(|_| takes_gzip(asked));
    let tag = format!("\"{print}{}\"", if compressed.is_some() { "-gzip" } else { "" });
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        told.insert(header::ETAG, tag);
    }
    let listed = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    if listed.flat_map(|list| list.split(',')).any(|listed| listed.trim().trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, told).into_response();
    }
    if compressed.is_some() {
        told.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let EmbeddedFile { data, .. } = compressed.unwrap_or(plain);
    (told, data.into_owned()).into_response()
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    let listed = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = listed.flat_map(|list| list.split(',')).map(|coding| coding.split(';'));
    codings.any(|mut coding| {
        let name = coding.next().unwrap_or_default().trim();
        let is_refused = coding.any(|weight| matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        matches!(name, "gzip" | "*") && !is_refused
    })
}

fn headers(name: &str, kept: &'static str) -> HeaderMap {
    let kind = match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(kept)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ])
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body};
    use tower::ServiceExt as _;

    use super::*;

    async fn asked(method: &str, path: &str) -> Response {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        Router::new().fallback(fallback).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn addresses() {
        for (method, path, status) in [
            ("GET", "/", 307),
            ("GET", "/ui", 307),
            ("GET", "/ui/", 200),
            ("HEAD", "/ui/flags/some.key", 200),
            ("GET", "/ui/assets/none.js", 404),
            ("GET", "/ui/assets/../../Cargo.toml", 404),
            ("POST", "/ui/", 405),
            ("DELETE", "/", 405),
            ("GET", "/uix", 404),
        ] {
            let answer = asked(method, path).await;
            assert_eq!(answer.status(), status, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn pages_run_nothing_of_others() {
        let page = asked("GET", "/ui/flags").await;
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    }

    #[test]
    fn who_takes_gzip() {
        for (accepted, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, *;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(takes_gzip(&headers), expected, "{accepted}");
        }
    }
}
