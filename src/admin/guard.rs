//! Who may talk to the admin listener, and what is said when a handler fails.

use std::{any::Any, net::IpAddr};

use axum::{
    extract::Request,
    http::{HeaderName, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{ofrep, problem, refusal::Refusal};

/// Refuses requests that were not addressed to this machine, as those of a web page that rebinds its name to loopback,
/// and those that another site's page sends.
pub(super) async fn loopback_only(request: Request, next: Next) -> Response {
    let host = text(&request, header::HOST).and_then(|host| host.parse::<Authority>().ok());
    if !host.as_ref().is_some_and(is_loopback) {
        return refuse(&request, "the admin listener answers requests to localhost only; check the Host header");
    }
    if let Some(origin) = text(&request, header::ORIGIN) {
        let origin = origin.parse::<Uri>().ok().and_then(|origin| origin.into_parts().authority);
        if origin != host {
            return refuse(&request, "requests of other origins are not answered");
        }
    }
    next.run(request).await
}

/// 403, in the shape of the protocol that the client speaks.
fn refuse(request: &Request, detail: &str) -> Response {
    let ofrep = ofrep::refusal(request.uri().path(), StatusCode::FORBIDDEN, detail, None);
    ofrep.unwrap_or_else(|| problem(StatusCode::FORBIDDEN, detail))
}

/// The answer in place of a handler that panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    log_panic(&*panic);
    Refusal::Status(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".to_owned()).into_response()
}

/// Says in the log that a handler panicked.
pub(super) fn log_panic(panic: &(dyn Any + Send)) {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    log::error!("admin: a handler panicked: {message}");
}

fn text(request: &Request, name: HeaderName) -> Option<&str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or_default())
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
