//! Which upstream a request goes to: features, then canary, then blue/green, then the route's own upstream.

use smallvec::SmallVec;

use crate::{
    config::{Route, UpstreamIndex},
    eval::Evaluation,
    snapshot::{Evaluator, Snapshot},
};

/// Where a request goes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) strategy: &'static str,
    pub(super) upstream: UpstreamIndex,
    /// A strategy would have sent it to an upstream without a healthy endpoint.
    pub(super) fell_back: bool,
}

/// Evaluates the flags of a route, each at most once.
pub(super) struct RouteFlags<'s, 'c, 'r> {
    snapshot: &'s Snapshot,
    evaluator: Evaluator<'s, 'c>,
    seen: SmallVec<[(&'r str, Option<Evaluation<'s>>); 8]>,
}

impl<'s, 'c, 'r> RouteFlags<'s, 'c, 'r> {
    pub(super) fn new(snapshot: &'s Snapshot, evaluator: Evaluator<'s, 'c>) -> Self {
        Self { snapshot, evaluator, seen: SmallVec::new() }
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

    /// Counts what was evaluated.
    pub(super) fn count(&self) {
        for evaluation in self.seen.iter().filter_map(|(_, evaluation)| evaluation.as_ref()) {
            evaluation.count();
        }
    }
}

/// Decides for one request; `is_available` says whether an upstream has a healthy endpoint. The route's own upstream is
/// taken whatever its health.
pub(super) fn decide<'r>(
    route: &'r Route,
    flags: &mut RouteFlags<'_, '_, 'r>,
    is_available: impl Fn(UpstreamIndex) -> bool,
) -> Decision {
    let mut fell_back = false;
    let mut take = |strategy, upstream: Option<UpstreamIndex>| {
        let upstream = upstream?;
        if is_available(upstream) {
            return Some(Decision { strategy, upstream, fell_back });
        }
        fell_back = true;
        None
    };
    for feature in &route.features {
        let variation = flags.evaluate(&feature.flag).map(|evaluation| evaluation.variation());
        let target =
            feature.variations.iter().find(|(name, _)| Some(name.as_str()) == variation).map(|(_, upstream)| *upstream);
        if let Some(decision) = take("features", target) {
            return decision;
        }
    }
    if let Some(canary) = &route.canary {
        let is_on = flags.evaluate(&canary.flag).is_some_and(|evaluation| evaluation.is_truthy());
        if let Some(decision) = take("canary", is_on.then_some(canary.upstream)) {
            return decision;
        }
    }
    if let Some(sides) = &route.blue_green {
        let side = match flags.evaluate(&sides.flag).map(|evaluation| evaluation.variation()) {
            Some("blue") => Some(sides.blue),
            Some("green") => Some(sides.green),
            Some(_) | None => None,
        };
        if let Some(decision) = take("blue_green", side) {
            return decision;
        }
    }
    Decision { strategy: "default", upstream: route.upstream, fell_back }
}
