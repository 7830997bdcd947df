//! Which upstream a request goes to: features, then canary, then blue/green, then the route's own upstream.

use smallvec::SmallVec;

use super::{sticky::Held, upstream::Upstreams};
use crate::{
    config::{Route, UpstreamIndex},
    eval::{Evaluation, Flags as _, Given, Segment, SegmentIndex},
    model::Reason,
    snapshot::{Evaluator, Snapshot},
    telemetry::metrics::STICKY_STRATEGY,
};

/// Where a request goes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) strategy: &'static str,
    pub(super) upstream: UpstreamIndex,
    /// A strategy would have sent it to an upstream without a healthy endpoint, or to one that is killed.
    pub(super) fell_back: bool,
}

/// What one strategy said, for who wants to know why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried<'a> {
    pub(super) strategy: &'static str,
    pub(super) flag: &'a str,
    /// What the flag evaluated to; `None`: there is no such flag.
    pub(super) variation: Option<&'a str>,
    /// Where that would lead; `None`: nowhere, so the next strategy is tried.
    pub(super) upstream: Option<UpstreamIndex>,
    /// The kill switch that keeps the user from there, or from all strategies of the route.
    pub(super) killed_by: Option<&'a str>,
    /// Whether there is a healthy endpoint and no kill switch, so that this is taken.
    pub(super) is_taken: bool,
}

/// Evaluates the flags of a route, each at most once.
pub(super) struct RouteFlags<'s, 'c, 'r> {
    snapshot: &'s Snapshot,
    evaluator: Evaluator<'s, 'c>,
    seen: SmallVec<[(&'r str, Option<Evaluation<'s>>); 8]>,
    /// The flag whose variation had no say in where the request goes, as its user is held elsewhere.
    left_out: Option<&'r str>,
}

impl<'s, 'c, 'r> RouteFlags<'s, 'c, 'r> {
    pub(super) fn new(snapshot: &'s Snapshot, evaluator: Evaluator<'s, 'c>) -> Self {
        Self { snapshot, evaluator, seen: SmallVec::new(), left_out: None }
    }

    /// Evaluates a flag; `None`: there is no such flag.
    pub(super) fn evaluate(&mut self, key: &'r str) -> Option<Evaluation<'s>> {
        if let Some((_, seen)) = self.seen.iter().find(|(known, _)| *known == key) {
            return *seen;
        }
        let evaluation = self.snapshot.flag(key).and_then(|flag| self.evaluator.evaluate(flag));
        self.seen.push((key, evaluation));
        evaluation
    }

    /// The flags that were evaluated so far, each with its variation.
    pub(super) fn variations(&self) -> impl Iterator<Item = (&'r str, &'s str)> {
        self.seen.iter().filter_map(|(key, evaluation)| Some((*key, evaluation.as_ref()?.variation())))
    }

    /// Whether a kill switch decided any of the flags that were evaluated so far.
    pub(super) fn is_any_killed(&self) -> bool {
        self.seen.iter().any(|(_, evaluation)| evaluation.is_some_and(|evaluation| evaluation.reason == Reason::Killed))
    }

    /// The kill switch that keeps the user from a route's strategies or from an upstream.
    fn killer_of(&self, service: &str) -> Option<&'s str> {
        self.evaluator.killer_of(service)
    }

    /// Whether a kill switch keeps the user from a route's strategies or from this upstream.
    pub(super) fn is_killed(&self, route: &Route, upstream: UpstreamIndex, upstreams: &Upstreams) -> bool {
        self.killer_of(&route.name).or_else(|| self.killer_of_upstream(Some(upstream), upstreams)).is_some()
    }

    fn killer_of_upstream(&self, upstream: Option<UpstreamIndex>, upstreams: &Upstreams) -> Option<&'s str> {
        self.killer_of(upstreams.name(upstream?))
    }

    /// The segments that the user is a member of, among those that the flags evaluated so far name and these; those of the
    /// highest priority first, then by id.
    pub(super) fn segments(&self, also: &[String]) -> SmallVec<[&'s Segment; 8]> {
        let snapshot = self.snapshot;
        let flags = self.seen.iter().filter_map(|(key, _)| Some(snapshot.get(snapshot.flag(key)?)?.segments()));
        let also = also.iter().filter_map(|id| snapshot.segment(id));
        let mut named: SmallVec<[SegmentIndex; 16]> = flags.flatten().copied().chain(also).collect();
        named.sort_unstable();
        named.dedup();
        let joined = named.into_iter().filter(|segment| self.evaluator.is_member(*segment));
        let mut joined: SmallVec<[&'s Segment; 8]> =
            joined.filter_map(|segment| snapshot.segment_at(segment)).collect();
        joined.sort_unstable_by(|left, right| {
            right.priority().cmp(&left.priority()).then_with(|| left.id().cmp(right.id()))
        });
        joined
    }
}

/// The flags that were evaluated for a request.
pub(super) trait Evaluated {
    /// Whether a flag was evaluated.
    fn has_seen(&self, key: &str) -> bool;
    /// What each flag gave.
    fn given(&self) -> GivenFlags;
}

/// What the flags of a request gave.
pub(super) type GivenFlags = SmallVec<[Given; 8]>;

impl Evaluated for RouteFlags<'_, '_, '_> {
    fn has_seen(&self, key: &str) -> bool {
        self.seen.iter().any(|(known, _)| *known == key)
    }

    fn given(&self) -> GivenFlags {
        let counted = self.seen.iter().filter(|(key, _)| self.left_out != Some(*key));
        counted.filter_map(|(_, evaluation)| Some(evaluation.as_ref()?.given())).collect()
    }
}

/// Decides for one request; `tried` is told of each strategy. A strategy that leads to an upstream that is killed for the
/// user, or any strategy of a route that is, is passed over. The route's own upstream is taken whatever its health, and
/// though it be killed: there is nothing else.
pub(super) fn decide<'r>(
    route: &'r Route,
    flags: &mut RouteFlags<'_, '_, 'r>,
    upstreams: &Upstreams,
    mut tried: impl FnMut(Tried<'_>),
) -> Decision {
    let mut fell_back = false;
    let route_killer = flags.killer_of(&route.name);
    let mut take =
        |strategy, flag, variation: Option<&str>, upstream: Option<UpstreamIndex>, killed_by: Option<&str>| {
            let is_taken = killed_by.is_none() && upstream.is_some_and(|upstream| upstreams.is_available(upstream));
            tried(Tried { strategy, flag, variation, upstream, killed_by, is_taken });
            if let (Some(upstream), true) = (upstream, is_taken) {
                return Some(Decision { strategy, upstream, fell_back });
            }
            fell_back |= upstream.is_some();
            None
        };
    for feature in &route.features {
        let variation = flags.evaluate(&feature.flag).map(|evaluation| evaluation.variation());
        let target =
            feature.variations.iter().find(|(name, _)| Some(name.as_str()) == variation).map(|(_, upstream)| *upstream);
        let killed_by = route_killer.or_else(|| flags.killer_of_upstream(target, upstreams));
        if let Some(decision) = take("features", &feature.flag, variation, target, killed_by) {
            return decision;
        }
    }
    if let Some(canary) = &route.canary {
        let evaluation = flags.evaluate(&canary.flag);
        let is_on = evaluation.is_some_and(|evaluation| evaluation.is_truthy());
        let variation = evaluation.map(|evaluation| evaluation.variation());
        let target = is_on.then_some(canary.upstream);
        let killed_by = route_killer.or_else(|| flags.killer_of_upstream(target, upstreams));
        if let Some(decision) = take("canary", &canary.flag, variation, target, killed_by) {
            return decision;
        }
    }
    if let Some(sides) = &route.blue_green {
        let variation = flags.evaluate(&sides.flag).map(|evaluation| evaluation.variation());
        let side = match variation {
            Some("blue") => Some(sides.blue),
            Some("green") => Some(sides.green),
            Some(_) | None => None,
        };
        let killed_by = route_killer.or_else(|| flags.killer_of_upstream(side, upstreams));
        if let Some(decision) = take("blue_green", &sides.flag, variation, side, killed_by) {
            return decision;
        }
    }
    Decision { strategy: "default", upstream: route.upstream, fell_back }
}

/// What becomes of a user who is held.
pub(super) enum Holding {
    /// The user goes there.
    Kept(Decision),
    /// Not now: it is killed or off, or has no healthy endpoint.
    Passed,
    /// There is no such way any more.
    Gone,
}

/// Decides for a user who is held. The way must still be there, its flag on, no kill switch against it, and an endpoint
/// healthy.
pub(super) fn hold<'r>(
    route: &'r Route,
    held: &Held,
    flags: &mut RouteFlags<'_, '_, 'r>,
    upstreams: &Upstreams,
    mut tried: impl FnMut(Tried<'_>),
) -> Holding {
    let Some((flag, upstream)) = way(route, held).filter(|(_, upstream)| **upstreams.name(*upstream) == *held.upstream)
    else {
        return Holding::Gone;
    };
    let is_on = flag.is_none_or(|key| {
        flags.evaluate(key).is_some_and(|evaluation| match evaluation.reason {
            Reason::Killed | Reason::FlagDisabled | Reason::ParentDisabled | Reason::PrerequisitesNotMet => false,
            Reason::TargetingMatch | Reason::Rollout | Reason::Default => true,
        })
    });
    // The route's own upstream is where a kill switch leads.
    let killed_by =
        flag.and_then(|_| flags.killer_of(&route.name).or_else(|| flags.killer_of_upstream(Some(upstream), upstreams)));
    let is_taken = is_on && killed_by.is_none() && upstreams.is_available(upstream);
    tried(Tried {
        strategy: STICKY_STRATEGY,
        flag: &held.flag,
        variation: Some(&held.variation),
        upstream: is_on.then_some(upstream),
        killed_by,
        is_taken,
    });
    if !is_taken {
        return Holding::Passed;
    }
    flags.left_out = flag.filter(|key| {
        flags.seen.iter().all(|(known, evaluation)| {
            known != key || evaluation.is_none_or(|evaluation| evaluation.variation() != held.variation)
        })
    });
    Holding::Kept(Decision { strategy: STICKY_STRATEGY, upstream, fell_back: false })
}

/// The flag of a way that a route has, and where it leads; none: the route has no such way.
fn way<'r>(route: &'r Route, held: &Held) -> Option<(Option<&'r str>, UpstreamIndex)> {
    let is_its = |flag: &str| *flag == *held.flag;
    match held.strategy.as_str() {
        "features" => {
            let mut features = route.features.iter().filter(|feature| is_its(&feature.flag));
            features.find_map(|feature| {
                let target = feature.variations.iter().find(|(name, _)| *name == held.variation);
                target.map(|(_, upstream)| (Some(&*feature.flag), *upstream))
            })
        }
        "canary" => {
            let canary = route.canary.as_ref().filter(|canary| is_its(&canary.flag))?;
            Some((Some(&*canary.flag), canary.upstream))
        }
        "blue_green" => {
            let sides = route.blue_green.as_ref().filter(|sides| is_its(&sides.flag))?;
            match held.variation.as_str() {
                "blue" => Some((Some(&*sides.flag), sides.blue)),
                "green" => Some((Some(&*sides.flag), sides.green)),
                _ => None,
            }
        }
        "default" => Some((None, route.upstream)),
        _ => None,
    }
}
