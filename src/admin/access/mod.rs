//! Who calls the admin API, and what they may.
//!
//! A caller shows a token (`Authorization: Bearer …` or `X-API-Key`) or the session of a browser that logged in with
//! one. What a route asks for stands in its OpenAPI annotation, and only there: a route without one is refused.

mod cors;
mod guard;
mod rules;
mod session;
mod term;
mod ticket;

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, problem};
use crate::{clock, config, model::Role};

pub(super) use cors::cors;
pub(super) use guard::{guard, log_panic, panicked};
pub(super) use rules::{Rules, SCHEME};
pub(super) use term::Term;
pub(super) use ticket::PARAMETER as TICKET;

/// The length of the key that sessions are signed with, in bytes.
const SESSION_KEY: usize = 32;

/// Who may call, by the configuration. Cheap to clone.
#[derive(Clone)]
pub struct Access(Arc<Allowed>);

struct Allowed {
    tokens: Vec<Token>,
    public_metrics: bool,
    cors_origins: Vec<String>,
    session_ttl: Duration,
    session_key: Vec<u8>,
}

/// One token of the configuration.
struct Token {
    caller: Caller,
    sha256: [u8; 32],
    expires_at: Option<Timestamp>,
    limiter: Option<DefaultDirectRateLimiter>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The name of the token; `anonymous` where there are no tokens.
    pub(super) name: Arc<str>,
    /// What it may.
    pub(super) role: Role,
    /// Until when: the token ends, and so may the session.
    pub(super) term: Term,
}

/// How a caller showed who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// By a token, or there are none.
    Token,
    /// By a session: a browser sends it by itself, so it proves less.
    Session,
}

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(session::log_in, session::who, session::log_out))
}

impl Access {
    /// As the configuration says.
    ///
    /// # Errors
    /// The file of the session key cannot be read or is too short, or the system has no random numbers.
    pub fn new(config: &config::Admin) -> io::Result<Self> {
        let mut session_key = vec![0; SESSION_KEY];
        match &config.session_key_file {
            Some(path) => session_key = fs::read(path).map_err(|error| about(path, &error.to_string()))?,
            None => getrandom::fill(&mut session_key).map_err(io::Error::other)?,
        }
        if let Some(path) = config.session_key_file.as_ref().filter(|_| session_key.len() < SESSION_KEY) {
            return Err(about(path, "a session key has at least 32 bytes: `head -c 32 /dev/urandom > FILE`"));
        }
        let quota = config.requests_per_second.map(Quota::per_second);
        let tokens = config.tokens.iter().map(|token| Token {
            caller: Caller {
                name: token.name.as_str().into(),
                role: token.role,
                term: Term::of(token.expires_at, None),
            },
            sha256: token.sha256,
            expires_at: token.expires_at,
            limiter: quota.map(RateLimiter::direct),
        });
        Ok(Self(Arc::new(Allowed {
            tokens: tokens.collect(),
            public_metrics: config.public_metrics,
            cors_origins: config.cors_origins.clone(),
            session_ttl: config.session_ttl,
            session_key,
        })))
    }

    /// Whether there are no tokens: everybody on this machine may do everything.
    fn is_open(&self) -> bool {
        self.0.tokens.is_empty()
    }

    /// Web sites whose pages may call.
    pub(super) fn cors_origins(&self) -> &[String] {
        &self.0.cors_origins
    }

    /// The token behind a request's headers, if it shows one that holds, and how it does.
    fn who(&self, headers: &HeaderMap) -> (Option<&Token>, Shown) {
        match (shown(headers), session::of(headers)) {
            (Some(shown), _) => (self.token(shown), Shown::Token),
            (None, Some(session)) => (self.session(session), Shown::Session),
            (None, None) => (None, Shown::Token),
        }
    }

    /// The token that is shown. Every known one is compared in full, so that the time tells nothing.
    fn token(&self, shown: &str) -> Option<&Token> {
        let digest: [u8; 32] = Sha256::digest(shown).into();
        let now = clock::now();
        let mut found = None;
        for token in &self.0.tokens {
            let same = bool::from(token.sha256.ct_eq(&digest));
            found = if same && token.holds(now) { Some(token) } else { found };
        }
        found
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn about(path: &Path, why: &str) -> io::Error {
    io::Error::other(format!("{}: {why}", path.display()))
}

impl Caller {
    /// Somebody without a token.
    fn anonymous(role: Role) -> Self {
        Self { name: "anonymous".into(), role, term: Term::ENDLESS }
    }
}

impl Token {
    fn holds(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|until| now < until)
    }
}

/// The token of a request's headers, if it shows one.
fn shown(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().unwrap_or_default().split_once(' ').unwrap_or_default();
        return Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" });
    }
    headers.get("x-api-key").map(|value| value.to_str().unwrap_or_default())
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let caller = parts.extensions.get().cloned();
        caller.ok_or_else(|| problem(StatusCode::INTERNAL_SERVER_ERROR, "nobody was let in here"))
    }
}
