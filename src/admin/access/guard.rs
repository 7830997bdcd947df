//! Lets a request in, or says why not.

use std::{any::Any, net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::clock::{Clock as _, DefaultClock};

use super::{Access, Caller, Rules, Shown, Term, rules::Rule, session, shown, ticket};
use crate::{
    admin::{ofrep, problem, refusal::Refusal},
    model::Role,
};

/// Lets those in who may, and enters who calls.
pub(in crate::admin) async fn guard(
    State((access, rules)): State<(Access, Arc<Rules>)>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Err(refusal) = check_origin(&access, &request) {
        return ofrep::shaped(request.uri().path(), *refusal);
    }
    // What is no route is answered with 404, which tells and does nothing.
    let Some(path) = request.extensions().get::<MatchedPath>() else { return next.run(request).await };
    let rule = match rules.of(request.method(), path.as_str()) {
        Ok(rule) => rule,
        Err(allowed) => return unruled(request.uri().path(), &allowed),
    };
    match admit(&access, rule, &request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => ofrep::shaped(request.uri().path(), *refusal),
    }
}

/// The answer in place of a handler that panicked.
pub(in crate::admin) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    log_panic(&*panic);
    Refusal::Status(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".to_owned()).into_response()
}

/// Says in the log that a handler panicked.
pub(in crate::admin) fn log_panic(panic: &(dyn Any + Send)) {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    log::error!("admin: a handler panicked: {message}");
}

/// Refuses pages of other web sites that are not listed. Without tokens, also requests that were not addressed to this
/// machine, as those of a page that rebinds its name to loopback.
fn check_origin(access: &Access, request: &Request) -> Result<(), Box<Response>> {
    let host = text(request, header::HOST).and_then(|host| host.parse::<Authority>().ok());
    if access.is_open() && !host.as_ref().is_some_and(is_loopback) {
        return refuse(
            StatusCode::FORBIDDEN,
            "without tokens the admin listener answers requests to localhost only; check the Host header",
        );
    }
    let Some(origin) = text(request, header::ORIGIN) else { return Ok(()) };
    let authority = origin.parse::<Uri>().ok().and_then(|origin| origin.into_parts().authority);
    if authority == host || access.cors_origins().iter().any(|listed| listed == origin) {
        return Ok(());
    }
    refuse(
        StatusCode::FORBIDDEN,
        "requests of other origins are not answered; `admin.cors_origins` lists those that are",
    )
}

/// The answer to a method that nothing is said of, whether or not there is a handler: those in `allowed` have a rule.
fn unruled(path: &str, allowed: &[Method]) -> Response {
    if allowed.is_empty() {
        log::error!("admin: nothing says who may ask for {path:?}, so nobody may");
        return problem(StatusCode::FORBIDDEN, "nothing says who may ask for this, so nobody may");
    }
    let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let refusal = Refusal::Status(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".to_owned());
    ([(header::ALLOW, allowed.join(","))], refusal).into_response()
}

/// Who calls, if they may what the route does.
fn admit(access: &Access, rule: Rule, request: &Request) -> Result<Caller, Box<Response>> {
    let needed = match rule {
        Rule::Public => return Ok(Caller::anonymous(Role::Client)),
        Rule::Metrics if access.0.public_metrics => return Ok(Caller::anonymous(Role::Client)),
        Rule::Metrics => Role::Viewer,
        Rule::Role(role) => role,
    };
    if access.is_open() {
        return Ok(Caller::anonymous(Role::Admin));
    }
    let (token, how) = match ticket::of(request).filter(|_| shown(request.headers()).is_none()) {
        Some(ticket) => (access.ticketed(&ticket), Shown::Token),
        None => access.who(request.headers()),
    };
    let Some(token) = token else { return Err(Box::new(unknown())) };
    if token.caller.role < needed {
        let detail =
            format!("this needs the role {needed}; {:?} has the role {}", token.caller.name, token.caller.role);
        return refuse(StatusCode::FORBIDDEN, &detail);
    }
    if how == Shown::Session && !request.method().is_safe() {
        session::check_csrf(access, token, request.headers())?;
    }
    if let Some(wait) = token.limiter.as_ref().and_then(|limiter| limiter.check().err()) {
        return Err(Box::new(too_many(wait.wait_time_from(DefaultClock::default().now()).as_secs() + 1)));
    }
    let mut caller = token.caller.clone();
    if how == Shown::Session {
        caller.term = Term::of(token.expires_at, session::of(request.headers()).and_then(session::end));
    }
    Ok(caller)
}

fn unknown() -> Response {
    let detail = "show a token that holds: `Authorization: Bearer …` or `X-API-Key: …`; `flaggate token new` makes one";
    let mut refusal = problem(StatusCode::UNAUTHORIZED, detail);
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}

fn too_many(seconds: u64) -> Response {
    let mut refusal = problem(StatusCode::TOO_MANY_REQUESTS, "this token asks more than it may; try again later");
    refusal.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    refusal
}

pub(super) fn refuse<T>(status: StatusCode, detail: &str) -> Result<T, Box<Response>> {
    Err(Box::new(problem(status, detail)))
}

fn text(request: &Request, name: HeaderName) -> Option<&str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or_default())
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware, routing::get};
    use serde_json::json;
    use tower::ServiceExt as _;

    use super::*;
    use crate::config;

    #[tokio::test]
    async fn a_route_that_says_nothing_is_refused() {
        let document = json!({ "paths": { "/said": { "get": { "security": [{}] } } } });
        let rules = Arc::new(Rules::of_document(&document).unwrap());
        let access = Access::new(&config::Admin::default()).unwrap();
        let router = Router::new()
            .route("/said", get(async || "done").post(async || "done"))
            .route("/unsaid", get(async || "done"))
            .layer(middleware::from_fn_with_state((access, rules), guard));
        for (method, path, status) in [
            ("GET", "/said", 200),
            ("HEAD", "/said", 200),
            ("POST", "/said", 405),
            ("GET", "/unsaid", 403),
            ("GET", "/no", 404),
        ] {
            let request = Request::builder().method(method).uri(path).header("host", "localhost").body(Body::empty());
            let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{method} {path}");
        }
    }
}
