//! Sessions of browsers: a login by token gives a cookie that scripts cannot read, and a number that a page of another
//! site cannot know.
//!
//! A session is signed, over the hash of its token too, so it ends when the token does. The key is not in the
//! configuration: who can read that, hashes included, cannot make a session.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Access, Caller, Token, guard::refuse, hex};
use crate::{
    admin::{
        Admin,
        body::Body,
        problem,
        refusal::{Issue, Refusal},
    },
    clock,
};

/// The cookie's name.
const COOKIE: &str = "flaggate_session";

/// The header that carries the number.
const CSRF: &str = "x-csrf-token";

impl Access {
    /// The token behind a session that holds.
    pub(super) fn session(&self, session: &str) -> Option<&Token> {
        let (payload, signature) = session.rsplit_once('.')?;
        let (now, end) = (clock::now(), end(session)?);
        let signed = |token: &&Token| {
            let own = self.sign(token, "session", payload);
            bool::from(own.as_bytes().ct_eq(signature.as_bytes()))
        };
        self.0.tokens.iter().find(signed).filter(|token| token.holds(now) && now < end)
    }

    /// A session from now on, and until when in seconds since 1970.
    fn begin_session(&self, token: &Token, now: Timestamp) -> Result<(String, i64), getrandom::Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let ttl = i64::try_from(self.0.session_ttl.as_secs()).unwrap_or(i64::MAX);
        let ends = now.as_second().saturating_add(ttl);
        let payload = format!("{ends}.{}", hex(&nonce));
        let signature = self.sign(token, "session", &payload);
        Ok((format!("{payload}.{signature}"), ends))
    }

    /// The number that goes with a session.
    fn csrf(&self, token: &Token, session: &str) -> String {
        self.sign(token, "csrf", session)
    }

    fn sign(&self, token: &Token, purpose: &str, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0.session_key).expect("a key of any length does");
        mac.update(&token.sha256);
        mac.update(format!("{purpose} {text}").as_bytes());
        hex(&mac.finalize().into_bytes())
    }
}

/// When a session ends, as it says itself: whether that is true its signature tells.
pub(super) fn end(session: &str) -> Option<Timestamp> {
    Timestamp::from_second(session.split('.').next()?.parse().ok()?).ok()
}

/// The session of a request's cookies.
pub(super) fn of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, session)| session)
}

/// Refuses a change that a page of another site could have sent.
pub(super) fn check_csrf(access: &Access, token: &Token, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let given = headers.get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
    let expected = access.csrf(token, of(headers).unwrap_or_default());
    if bool::from(expected.as_bytes().ct_eq(given)) {
        return Ok(());
    }
    refuse(StatusCode::FORBIDDEN, "a session's changes need the header X-CSRF-Token; GET /session tells its value")
}

/// Log a browser in.
///
/// The answer sets a cookie that scripts cannot read. Requests with it that change something must carry `csrf` in the
/// header `X-CSRF-Token`.
#[utoipa::path(
    post, path = "/session", tag = "access", security(()),
    request_body(content = Value, example = json!({ "token": "flaggate_…" })),
    responses(
        (status = 200, description = "logged in", body = Value,
         example = json!({ "name": "me", "role": "editor", "csrf": "5f2c…", "expires_at": "2026-01-01T12:00:00Z" })),
        (status = 401, description = "no such token"),
        (status = 409, description = "there are no tokens, so there is nothing to log in with"),
        (status = 422, description = "the body is not `{\"token\": \"…\"}`"),
    )
)]
pub(super) async fn log_in(State(admin): State<Admin>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let body = body.object()?;
    let Some(shown) = body.get("token").and_then(Value::as_str) else {
        return Err(Refusal::Invalid(vec![Issue::of_body("expected a token", "type_error.str").at("token")]));
    };
    if admin.access.is_open() {
        return Err(Refusal::conflict("there are no tokens: everybody on this machine may do everything"));
    }
    let Some(token) = admin.access.token(shown.trim()) else {
        return Ok(problem(StatusCode::UNAUTHORIZED, "this token is not known, or does not hold any more"));
    };
    let Ok((session, ends)) = admin.access.begin_session(token, clock::now()) else {
        return Err(Refusal::Status(StatusCode::INTERNAL_SERVER_ERROR, "there are no random numbers".to_owned()));
    };
    // A browser says from where a login is sent; over TLS the cookie must not leave it again.
    let is_secure = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        admin.access.0.session_ttl.as_secs()
    );
    log::info!("admin: {:?} logged in", token.caller.name);
    let answer = Json(json!({
        "name": token.caller.name,
        "role": token.caller.role,
        "csrf": admin.access.csrf(token, &session),
        "expires_at": Timestamp::from_second(ends).unwrap_or(Timestamp::MAX),
    }));
    Ok(([(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())], answer).into_response())
}

/// Tell who calls.
#[utoipa::path(
    get, path = "/session", tag = "access", security(("token" = ["client"])),
    responses((status = 200, description = "name and role; for a session also `csrf`", body = Value,
               example = json!({ "name": "me", "role": "editor" })))
)]
pub(super) async fn who(State(admin): State<Admin>, caller: Caller, headers: HeaderMap) -> impl IntoResponse {
    let mut answer = json!({ "name": caller.name, "role": caller.role });
    if let Some(session) = of(&headers).filter(|_| super::shown(&headers).is_none())
        && let Some(token) = admin.access.session(session)
    {
        answer["csrf"] = admin.access.csrf(token, session).into();
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(answer))
}

/// Log a browser out.
#[utoipa::path(
    delete, path = "/session", tag = "access", security(()),
    responses((status = 204, description = "the cookie is gone"))
)]
pub(super) async fn log_out() -> impl IntoResponse {
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)])
}
