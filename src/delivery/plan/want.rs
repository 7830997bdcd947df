//! What has to be found out for the next step.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::status::{State, Status};
use crate::{
    delivery::deployment::{Arms, Deployment, Gate, GateKind, Query, Smoke, Stage, Step, Thresholds},
    model::FlagDocument,
};

/// How often endpoints are tried and thresholds are looked at.
const OFTEN: Duration = Duration::from_secs(1);

/// How often a Prometheus is asked.
const QUERY_EVERY: Duration = Duration::from_secs(5);

/// Something that has to be found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// For which stage.
    pub stage: Arc<str>,
    /// For which of its steps.
    pub step_id: String,
    /// It need not be found out more often.
    pub every: Duration,
    /// What.
    pub what: Want,
}

/// What has to be found out.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// How the endpoints of an upstream answer.
    Smoke {
        /// The upstream.
        upstream: Arc<str>,
        /// What they are asked.
        smoke: Smoke,
    },
    /// What was counted since then.
    Look {
        /// Of which requests.
        arms: Arms,
        /// Since when.
        from: Timestamp,
    },
    /// What was counted in so long before now.
    Window {
        /// Of which requests.
        arms: Arms,
        /// How long.
        length: Duration,
    },
    /// What a Prometheus says.
    Query(Query),
}

/// What has to be found out before [`step`](super::step) is asked again.
#[must_use]
pub fn wants(deployment: &Deployment, status: &Status, flags: &BTreeMap<Arc<str>, FlagDocument>) -> Vec<Wanted> {
    let is_held = status.hold.as_ref().is_some_and(|hold| hold.by.is_some());
    if !matches!(status.state, State::InProgress | State::Validating | State::Paused) || is_held {
        return Vec::new();
    }
    let mut wanted = Vec::new();
    for stage in &deployment.stages {
        let Some(state) = status.stages.iter().find(|state| state.name == stage.name && state.state.is_running())
        else {
            continue;
        };
        let mut want = |every: Duration, what: Want| {
            wanted.push(Wanted { stage: stage.name.clone(), step_id: status.step_id(state), every, what });
        };
        let Some(step) = stage.steps.get(state.step) else { continue };
        let flag = stage.flag.as_ref().and_then(|flag| flags.get(flag));
        let arms = stage.arms(state.side, flag);
        let serves = stage.setting(state.step).is_some();
        match step {
            Step::Smoke => {
                if let (Some(upstream), Some(smoke)) = (stage.upstream(state.side), &stage.smoke) {
                    want(OFTEN, Want::Smoke { upstream: upstream.clone(), smoke: smoke.clone() });
                }
            }
            Step::Set(_) => {}
            Step::Compare(_) => {
                let length = stage.thresholds.as_ref().map(|thresholds| thresholds.window).unwrap_or_default();
                want(OFTEN, Want::Window { arms, length });
            }
            Step::Gate(Gate { kind: GateKind::Metric(thresholds), .. }) => {
                figures(thresholds, &arms, &mut want);
                if serves {
                    judged(stage, state.judged_from, &arms, false, &mut want);
                }
            }
            Step::Wait(_) | Step::Hold | Step::Analysis(_) | Step::Gate(_) if serves => {
                judged(stage, state.judged_from, &arms, true, &mut want);
            }
            Step::Wait(_) | Step::Hold | Step::Analysis(_) | Step::Gate(_) => {}
        }
    }
    wanted
}

/// What the gate itself looks at.
fn figures(thresholds: &Thresholds, arms: &Arms, want: &mut impl FnMut(Duration, Want)) {
    if !thresholds.is_empty() {
        want(OFTEN, Want::Window { arms: arms.clone(), length: thresholds.window });
    }
    if let Some(query) = &thresholds.query {
        want(QUERY_EVERY, Want::Query(query.clone()));
    }
}

/// What judges the new side while it serves.
fn judged(
    stage: &Stage,
    from: Option<Timestamp>,
    arms: &Arms,
    has_window: bool,
    want: &mut impl FnMut(Duration, Want),
) {
    if let (Some(analysis), Some(from)) = (&stage.analysis, from) {
        want(analysis.interval, Want::Look { arms: arms.clone(), from });
    }
    // A gate's own window is looked at instead.
    if let (Some(thresholds), true) = (&stage.thresholds, has_window) {
        want(OFTEN, Want::Window { arms: arms.clone(), length: thresholds.window });
    }
}
