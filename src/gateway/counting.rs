//! What is noted of a request while it is decided.

use http::HeaderValue;
use smallvec::SmallVec;

use super::{
    decide::{GivenFlags, Tried},
    exchange::Exchange,
    explained,
    proxy::Gateway,
    request::{Seen, Witness},
    upstream::Upstreams,
};
use crate::{model::Users, recent::Recent};

/// Counts what was evaluated for a request that is really there, and remembers its context.
pub(super) struct Counting<'g> {
    recent: &'g Recent,
    /// Names upstreams for a client that may see the decision; none: it may not.
    explains: Option<&'g Upstreams>,
    pub(super) explained: Option<HeaderValue>,
    is_observed: bool,
    /// Who asks, as arms count it.
    pub(super) user: Option<(u16, u8)>,
    /// Who asks, if anybody wants to know.
    pub(super) user_id: Option<Box<str>>,
    pub(super) given: GivenFlags,
}

impl<'g> Counting<'g> {
    pub(super) fn new(gateway: &'g Gateway, exchange: &Exchange, explains: Option<&'g Upstreams>) -> Self {
        let Gateway { observers, access_log, tracer, .. } = gateway;
        let is_observed = observers.is_wanted() || access_log.tells_user_ids() || exchange.names_user(tracer.as_ref());
        let recent = &gateway.recent;
        Self { recent, explains, explained: None, is_observed, user: None, user_id: None, given: SmallVec::new() }
    }
}

impl Witness for Counting<'_> {
    fn begin(&mut self) {}

    fn tried(&mut self, _tried: &Tried<'_>) {}

    fn decided(&mut self, seen: &Seen<'_>) {
        self.given = seen.flags.given();
        self.explained = self.explains.and_then(|upstreams| explained::decision(seen, upstreams));
        let user_id = seen.context.user_id;
        self.user = (!user_id.is_empty()).then(|| Users::place(Users::hash(user_id)));
        self.user_id = (self.is_observed && !user_id.is_empty()).then(|| user_id.into());
        // Who was just given an id may never come back with it.
        if !seen.is_drawn {
            self.recent.note(user_id, seen.context.now, || seen.said.all());
        }
    }
}
