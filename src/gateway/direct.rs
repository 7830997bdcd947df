//! Where a request goes: where its user is held, else where the flags lead.

use super::{
    context::{Asker, cookie},
    decide::{Decision, Holding, RouteFlags, decide, hold},
    request::{Requests, Witness},
    sticky::{Held, Holder},
    upstream::Upstreams,
};

impl Requests {
    /// Where a request goes, and the cookie that holds its user there from now on.
    pub(super) fn direct<'r>(
        &'r self,
        asker: Asker<'_>,
        user_id: &str,
        flags: &mut RouteFlags<'_, '_, 'r>,
        upstreams: &Upstreams,
        witness: &mut impl Witness,
    ) -> (Decision, Option<String>) {
        let route = &self.config.routes[asker.taken.position];
        let Some(sticky) = route.sticky.as_ref().filter(|_| !user_id.is_empty()) else {
            return (decide(route, flags, upstreams, |tried| witness.tried(&tried)), None);
        };
        let (holder, now) = (Holder { route: &route.name, user_id }, asker.now.as_second());
        let known = cookie(&asker.request.headers, &sticky.cookie).and_then(|text| self.seal.open(text, holder, now));
        let mut is_free = true;
        if let Some(held) = known {
            match hold(route, &held, flags, upstreams, |tried| witness.tried(&tried)) {
                Holding::Kept(decision) => return (decision, None),
                // The cookie stays, for the time after.
                Holding::Passed => is_free = false,
                Holding::Gone => {}
            }
        }
        let mut way = (String::new(), String::new());
        let decision = decide(route, flags, upstreams, |tried| {
            if tried.is_taken {
                way = (tried.flag.to_owned(), tried.variation.unwrap_or_default().to_owned());
            }
            witness.tried(&tried);
        });
        // Nobody is held to where only a failure or a kill switch leads.
        if !is_free || decision.fell_back || flags.is_any_killed() {
            return (decision, None);
        }
        let (flag, variation) = way;
        let (strategy, upstream) = (decision.strategy.to_owned(), upstreams.name(decision.upstream).to_string());
        let seconds = i64::try_from(sticky.ttl.as_secs()).unwrap_or(i64::MAX);
        let held = Held { strategy, upstream, flag, variation };
        let signed = self.seal.sign(holder, &held, now.saturating_add(seconds));
        let cookie = signed.map(|signed| {
            format!("{}={signed}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax", sticky.cookie)
        });
        (decision, cookie)
    }
}
