//! Which upstream a request goes to: features, then canary, then blue/green, then the route's own upstream.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    config::{Route, UpstreamIndex},
    eval::{Evaluation, Flags as _, Segment, SegmentIndex},
    model::ArmCell,
    snapshot::{Evaluator, Snapshot},
    telemetry::RouteArms,
};

/// Where a request goes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) strategy: &'static str,
    pub(super) upstream: UpstreamIndex,
    /// A strategy would have sent it to an upstream without a healthy endpoint.
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
    /// Whether there is a healthy endpoint, so that this is taken.
    pub(super) is_taken: bool,
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
    /// Counts what was evaluated.
    fn count(&self);
    /// Where the requests of each variation that was given are counted.
    fn arms(&self, arms: &RouteArms) -> VariationArms;
}

/// Where the requests of some variations are counted.
pub(super) type VariationArms = SmallVec<[Arc<ArmCell>; 8]>;

impl Evaluated for RouteFlags<'_, '_, '_> {
    fn has_seen(&self, key: &str) -> bool {
        self.seen.iter().any(|(known, _)| *known == key)
    }

    fn count(&self) {
        for evaluation in self.seen.iter().filter_map(|(_, evaluation)| evaluation.as_ref()) {
            evaluation.count();
        }
    }

    fn arms(&self, arms: &RouteArms) -> VariationArms {
        let seen = self.seen.iter().filter_map(|(flag, evaluation)| Some((flag, evaluation.as_ref()?)));
        let arm = |(flag, evaluation): (&&str, &Evaluation<'_>)| {
            Arc::clone(evaluation.arm(|| arms.variation(flag, evaluation.variation())))
        };
        seen.map(arm).collect()
    }
}

/// Decides for one request; `is_available` says whether an upstream has a healthy endpoint, and `tried` is told of each
/// strategy. The route's own upstream is taken whatever its health.
pub(super) fn decide<'r>(
    route: &'r Route,
    flags: &mut RouteFlags<'_, '_, 'r>,
    is_available: impl Fn(UpstreamIndex) -> bool,
    mut tried: impl FnMut(Tried<'_>),
) -> Decision {
    let mut fell_back = false;
    let mut take = |strategy, flag, variation: Option<&str>, upstream: Option<UpstreamIndex>| {
        let is_taken = upstream.is_some_and(&is_available);
        tried(Tried { strategy, flag, variation, upstream, is_taken });
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
        if let Some(decision) = take("features", &feature.flag, variation, target) {
            return decision;
        }
    }
    if let Some(canary) = &route.canary {
        let evaluation = flags.evaluate(&canary.flag);
        let is_on = evaluation.is_some_and(|evaluation| evaluation.is_truthy());
        let variation = evaluation.map(|evaluation| evaluation.variation());
        if let Some(decision) = take("canary", &canary.flag, variation, is_on.then_some(canary.upstream)) {
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
        if let Some(decision) = take("blue_green", &sides.flag, variation, side) {
            return decision;
        }
    }
    Decision { strategy: "default", upstream: route.upstream, fell_back }
}
