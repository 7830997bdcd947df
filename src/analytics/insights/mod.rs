//! What somebody should look at: rules over what was gathered. Pure.

mod attribution;
mod rules;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{FlagReport, RouteReport};
use crate::store::Series;

pub use attribution::{Attribution, Cause, Change, attribute};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Users are harmed now, or figures are wrong.
    Critical,
    /// It will do harm, or does a little.
    Warning,
    /// It could be tidier.
    Info,
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Insight {
    /// Which rule says so.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// `flag`, `route`, `segment` or `deployment`.
    pub kind: &'static str,
    /// Which one.
    pub name: String,
    /// What was found, in a sentence.
    pub finding: String,
    /// The numbers.
    pub evidence: Value,
    /// What could be done.
    pub recommendation: String,
}

/// What the rules look at.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// By the store's clock.
    pub now: Timestamp,
    /// Since when traffic is watched.
    pub watched_since: Option<Timestamp>,
    /// Every flag.
    pub flags: Vec<FlagView>,
    /// Every route that had requests.
    pub routes: Vec<RouteView>,
    /// Every segment.
    pub segments: Vec<SegmentView>,
    /// Every deployment.
    pub deployments: Vec<DeploymentView>,
}

/// A flag.
#[derive(Clone, Debug, Default)]
pub struct FlagView {
    /// Its key.
    pub key: String,
    /// Why it is stale, if it is: `expired`, `rolled_out`, `off` or `unused`, and since when.
    pub stale: Vec<(String, Timestamp)>,
    /// When it was changed last.
    pub changed_at: Option<Timestamp>,
    /// Whether a draw may put users into different variations.
    pub draws: bool,
    /// The last day; none: it was not used.
    pub day: Option<FlagReport>,
    /// The same, minute by minute.
    pub series: Series,
    /// What explanations for users who were here lately say.
    pub tried: Tried,
}

/// What became of users who were here lately, as the flag is now.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Each rule's position, for how many users it was tried, and for how many it matched.
    pub rules: Vec<(u64, usize, usize)>,
    /// Each prerequisite, for how many users it was looked at, and for how many it was met.
    pub prerequisites: Vec<(String, usize, usize)>,
}

/// A route.
#[derive(Clone, Debug)]
pub struct RouteView {
    /// Its name.
    pub name: String,
    /// The last day.
    pub day: RouteReport,
    /// The same, minute by minute.
    pub series: Series,
}

/// A segment.
#[derive(Clone, Debug, Default)]
pub struct SegmentView {
    /// Its id.
    pub id: String,
    /// How many users were here lately,
    pub users: usize,
    /// and how many of them are in it.
    pub members: usize,
    /// The flags that ask for it.
    pub flags: Vec<String>,
}

/// A deployment.
#[derive(Clone, Debug, Default)]
pub struct DeploymentView {
    /// Its id.
    pub id: String,
    /// What it does.
    pub state: String,
    /// Since when it is where it is.
    pub since: Option<Timestamp>,
    /// What it waits for.
    pub waiting_on: Vec<String>,
}

/// Everything that the rules find, the worst first.
#[must_use]
pub fn insights(view: &View) -> Vec<Insight> {
    let mut found = Vec::new();
    for flag in &view.flags {
        rules::flag(view, flag, &mut found);
    }
    for route in &view.routes {
        rules::route(view, route, &mut found);
    }
    for segment in &view.segments {
        rules::segment(segment, &mut found);
    }
    for deployment in &view.deployments {
        rules::deployment(view, deployment, &mut found);
    }
    found.sort_by(|one, other| (one.severity, one.kind, &one.name).cmp(&(other.severity, other.kind, &other.name)));
    found
}
