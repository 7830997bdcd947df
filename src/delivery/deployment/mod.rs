//! A deployment that has been checked: each stage is a list of steps on one flag.
//!
//! All strategies come down to the same few steps, so one machine runs them all: look whether the new side works, send it
//! a share of the users (or all of them), wait, be judged, pass a gate.

mod check;
mod flags;
mod gate;
mod read;
mod route;
mod strategy;
mod threshold;

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::judge::Analysis;
use crate::model::{Arm, DeploymentDocument, Fault, FlagDocument};

pub use gate::{Gate, GateKind, Schedule};
pub use route::{Route, Side, Sides};
pub use threshold::{Answered, Measured, Query, Thresholds};

/// A deployment, ready to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// What it is called.
    pub id: Arc<str>,
    /// Which version of what is delivered.
    pub version: String,
    /// How long it may take in all.
    pub max_duration: Option<Duration>,
    /// Whether stages that do not depend on each other run at the same time.
    pub is_parallel: bool,
    /// Who is told when it ends, fails or waits for a person: names of channels of the configuration.
    pub channels: Vec<String>,
    /// In the order of the document.
    pub stages: Vec<Stage>,
}

/// A stage: steps on one flag.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name, each once.
    pub name: Arc<str>,
    /// The name of its strategy.
    pub strategy: &'static str,
    /// The positions of the stages that have to be completed before it.
    pub dependencies: Vec<usize>,
    /// Whether it is undone when it, or one after it, fails.
    pub rolls_back: bool,
    /// The flag that it changes; none: it only looks.
    pub flag: Option<Arc<str>>,
    /// The route whose strategy that is.
    pub route: Option<Route>,
    /// The side of a blue/green strategy that it switches to; none: the one that does not serve when it begins.
    pub to: Option<Side>,
    /// What is asked of the new side before anybody is sent there.
    pub smoke: Option<Smoke>,
    /// How it is judged against the old side.
    pub analysis: Option<Analysis>,
    /// What the new side has to keep all the time.
    pub thresholds: Option<Thresholds>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// Where it stands in the document, for faults.
    at: String,
}

/// One step of a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The endpoints of the new side are healthy and pass the smoke tests.
    Smoke,
    /// The flag is set.
    Set(Setting),
    /// Time passes.
    Wait(Duration),
    /// A person says that it goes on.
    Hold,
    /// It is judged for so long, and passes.
    Analysis(Duration),
    /// The copies that the new side gets keep the thresholds for so long.
    Compare(Duration),
    /// A gate opens.
    Gate(Gate),
}

/// What a flag is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// This share of the users gets the new side, in percent.
    Share(f64),
    /// All users get the new side.
    Switch,
    /// It is as it was before the stage.
    Back,
}

/// What is asked of the endpoints of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smoke {
    /// What each endpoint is asked.
    pub tests: Vec<SmokeTest>,
    /// When the stage fails that still does not pass.
    pub timeout: Duration,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmokeTest {
    /// A GET of this path…
    pub path: String,
    /// …is answered with this status.
    pub expected_status: u16,
}

/// The requests of the two sides of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arms {
    /// Those that the new side gets.
    pub new: Vec<Arm>,
    /// Those that the old side gets at the same time.
    pub old: Vec<Arm>,
}

impl Deployment {
    /// Reads a document. What a person wrote is checked, the `status` is not looked at.
    ///
    /// # Errors
    /// Everything that is wrong with it, and where.
    pub fn read(document: &DeploymentDocument, routes: &[Route]) -> Result<Self, Vec<Fault>> {
        check::read(document, routes)
    }

    /// What is wrong with the flags that it changes: there is none, or it cannot be set as the stage asks.
    #[must_use]
    pub fn check_flags<'f>(
        &self,
        find: impl Fn(&str) -> Option<&'f FlagDocument>,
        keys: impl Iterator<Item = &'f str> + Clone,
    ) -> Vec<Fault> {
        flags::check(self, find, keys)
    }

    /// The flags that it changes, each once.
    pub fn flags(&self) -> impl Iterator<Item = &Arc<str>> {
        let flag = |position: usize| self.stages.get(position)?.flag.as_ref();
        let is_first = move |position: &usize| (0..*position).all(|earlier| flag(earlier) != flag(*position));
        (0..self.stages.len()).filter(is_first).filter_map(flag)
    }

    /// What two deployments both touch, in words; `None`: neither stands in the way of the other.
    #[must_use]
    pub fn clash(&self, other: &Self) -> Option<String> {
        if let Some(flag) = self.flags().find(|flag| other.flags().any(|theirs| theirs == *flag)) {
            return Some(format!("the flag {flag:?}"));
        }
        let routes = |deployment: &Self| {
            let routes = deployment.stages.iter().filter_map(|stage| Some(stage.route.as_ref()?.name.clone()));
            routes.collect::<Vec<_>>()
        };
        let theirs = routes(other);
        let route = routes(self).into_iter().find(|route| theirs.contains(route))?;
        Some(format!("the route {route:?}"))
    }
}

impl Stage {
    /// The upstream that is new; `side` is the one that a blue/green strategy switches to.
    #[must_use]
    pub fn upstream(&self, side: Option<Side>) -> Option<&Arc<str>> {
        let route = self.route.as_ref()?;
        match self.strategy {
            "blue_green" => Some(route.blue_green.as_ref()?.upstream(side?)),
            "shadow" => route.mirror.as_ref().map(|(_, upstream)| upstream),
            _ => route.canary.as_ref().map(|(_, upstream)| upstream),
        }
    }

    /// Whose requests are compared; `flag` is the document of the stage's flag.
    #[must_use]
    pub fn arms(&self, side: Option<Side>, flag: Option<&FlagDocument>) -> Arms {
        match (&self.route, self.strategy) {
            (Some(route), "blue_green") => match side {
                Some(side) => Arms { new: route.of_side(side), old: route.of_side(side.other()) },
                None => Arms::default(),
            },
            (Some(route), "shadow") => Arms { new: route.of_mirror(), old: route.beside_canary() },
            (Some(route), _) => Arms { new: route.of_canary(), old: route.beside_canary() },
            (None, _) => match (&self.flag, flag) {
                (Some(key), Some(flag)) => flags::arms(key, flag),
                (_, _) => Arms::default(),
            },
        }
    }

    /// What the flag is set to once the step at this position has begun; `None`: it is not touched yet.
    #[must_use]
    pub fn setting(&self, position: usize) -> Option<Setting> {
        let mut begun = self.steps.iter().take(position + 1).rev();
        begun.find_map(|step| match step {
            Step::Set(setting) => Some(*setting),
            Step::Smoke | Step::Wait(_) | Step::Hold | Step::Analysis(_) | Step::Compare(_) | Step::Gate(_) => None,
        })
    }

    /// The first share of users that it gives to the new side.
    #[must_use]
    pub fn first_share(&self) -> Option<f64> {
        self.steps.iter().find_map(|step| match step {
            Step::Set(Setting::Share(share)) => Some(*share),
            Step::Set(Setting::Switch | Setting::Back)
            | Step::Smoke
            | Step::Wait(_)
            | Step::Hold
            | Step::Analysis(_)
            | Step::Compare(_)
            | Step::Gate(_) => None,
        })
    }
}

impl Step {
    /// What it is called.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Smoke => "smoke tests".to_owned(),
            Self::Set(Setting::Share(share)) => format!("{share} %"),
            Self::Set(Setting::Switch) => "switch".to_owned(),
            Self::Set(Setting::Back) => "back".to_owned(),
            Self::Wait(time) => format!("wait {}", told(*time)),
            Self::Hold => "hold".to_owned(),
            Self::Analysis(time) => format!("analysis {}", told(*time)),
            Self::Compare(time) => format!("compare {}", told(*time)),
            Self::Gate(gate) => format!("{} gate", gate.kind.as_str()),
        }
    }
}

/// A duration as documents have it: `"10m"`; `None`: it is none.
#[must_use]
pub fn duration(value: &Value) -> Option<Duration> {
    read::duration_of(value)
}

/// A duration in words, as documents have it.
#[must_use]
pub fn told(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis >= length && millis.is_multiple_of(length) {
            return format!("{}{unit}", millis / length);
        }
    }
    format!("{millis}ms")
}
