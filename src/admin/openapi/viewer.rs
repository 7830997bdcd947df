//! `/docs`: Swagger UI, bundled, so that nothing is fetched from elsewhere. `scripts/bundle-docs-viewer` renews it.

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Problem;
use crate::admin::{Admin, problem};

/// The page.
const PAGE: &str = include_str!("viewer/index.html");

/// Its parts and what they are. The large ones are compressed.
const PARTS: &[(&str, &str, bool, &[u8])] = &[
    ("start.js", "text/javascript; charset=utf-8", false, include_bytes!("viewer/start.js")),
    ("swagger-ui.css", "text/css; charset=utf-8", true, include_bytes!("viewer/swagger-ui.css.gz")),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8", true, include_bytes!("viewer/swagger-ui-bundle.js.gz")),
    ("LICENSE", "text/plain; charset=utf-8", false, include_bytes!("viewer/LICENSE")),
];

/// The page runs and loads nothing but its own parts, and talks to this listener only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(in crate::admin) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(docs)).routes(routes!(part))
}

/// A page that shows this document and can try it.
#[utoipa::path(
    get, path = "/docs", tag = "health", security(()),
    responses((status = 200, description = "the page", body = String, content_type = "text/html"))
)]
async fn docs() -> Response {
    (headers("text/html; charset=utf-8", false), PAGE).into_response()
}

/// A part of that page.
#[utoipa::path(
    get, path = "/docs/{part}", tag = "health", security(()),
    params(("part" = String, Path, description = "its name")),
    responses(
        (status = 200, description = "the part", body = String, content_type = "text/plain"),
        (status = 400, description = "the path cannot be read", body = String, content_type = "text/plain"),
        (status = 404, description = "no such part", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn part(Path(name): Path<String>) -> Response {
    match PARTS.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, compressed, bytes)) => (headers(kind, *compressed), *bytes).into_response(),
        None => problem(StatusCode::NOT_FOUND, "the page has no such part"),
    }
}

fn headers(kind: &'static str, compressed: bool) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ]);
    if compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers
}
