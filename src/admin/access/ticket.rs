//! Tickets: what lets a browser follow an event stream. Its `EventSource` sends no headers, so the address has to do, and an
//! address lands in logs: a ticket opens that one stream, which tells that something changed, and nothing else.
//!
//! It is the same for as long as its token holds, at every gateway that knows the token: a client takes another address for
//! another stream.

use axum::{
    extract::Request,
    http::{HeaderMap, Method},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Access, Token, hex};
use crate::{admin::ofrep::EVENTS, clock};

/// The query's parameter that carries it.
pub(in crate::admin) const PARAMETER: &str = "ticket";

impl Access {
    /// The ticket of who sent these headers; none where there are no tokens.
    pub(in crate::admin) fn ticket(&self, headers: &HeaderMap) -> Option<String> {
        self.who(headers).0.map(of_token)
    }

    /// The token behind a ticket that holds.
    pub(super) fn ticketed(&self, ticket: &str) -> Option<&Token> {
        let same = |token: &&Token| bool::from(of_token(token).as_bytes().ct_eq(ticket.as_bytes()));
        let now = clock::now();
        self.0.tokens.iter().find(same).filter(|token| token.holds(now))
    }
}

fn of_token(token: &Token) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&token.sha256).expect("a key of any length does");
    mac.update(b"ticket ");
    mac.update(EVENTS.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// The ticket that a request shows, where one counts.
pub(super) fn of(request: &Request) -> Option<String> {
    let counts = request.uri().path() == EVENTS && matches!(*request.method(), Method::GET | Method::HEAD);
    let query = request.uri().query().filter(|_| counts)?;
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == PARAMETER).map(|(_, ticket)| ticket.into_owned())
}
