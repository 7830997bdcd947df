//! Who may talk to the admin listener, and what is said when a handler fails.

use std::{any::Any, net::IpAddr};

use axum::{
    extract::Request,
    http::{HeaderName, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{problem, refusal::Refusal};

/// Refuses requests that were not addressed to this machine, as those of a web page that rebinds its name to loopback,
/// and those that another site's page sends.
pub(super) async fn loopback_only(request: Request, next: Next) -> Response {
    let host = text(&request, header::HOST).and_then(|host| host.parse::<Authority>().ok());
    if !host.as_ref().is_some_and(is_loopback) {
        return problem(
            StatusCode::FORBIDDEN,
            "the admin listener answers requests to localhost only; check the Host header",
        );
    }
    if text(&request, header::ORIGIN).is_some_and(|origin| authority(origin) != host) {
        return problem(StatusCode::FORBIDDEN, "requests of other origins are not answered");
    }
    next.run(request).await
}

/// The answer in place of a handler that panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    log::error!("admin: a handler panicked: {message}");
    Refusal::Status(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".to_owned()).into_response()
}

fn text(request: &Request, name: HeaderName) -> Option<&str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or_default())
}

/// The host and port of an `Origin`.
pub(super) fn authority(origin: &str) -> Option<Authority> {
    origin.parse::<Uri>().ok()?.into_parts().authority
}

/// Whether a host is this machine.
pub(super) fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
