//! How far a deployment is: the field `status` of its document.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::delivery::{
    deployment::{Deployment, Side},
    judge::{Judge, Verdict},
};

/// How many earlier runs are remembered.
const MOST_EPOCHS: usize = 20;

/// How far a deployment is. Everything that the machine remembers is here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// Why, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it waits for, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_on: Vec<String>,
    /// Which run it is: one more with each retry and each new version.
    pub epoch: u64,
    /// The version that runs, or ran last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// When it began, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// A person stopped the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Why it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
    /// In the order of the document.
    #[serde(default)]
    pub stages: Vec<StageStatus>,
    /// What flags were before they were touched: what they go back to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stable: BTreeMap<Arc<str>, Map<String, Value>>,
    /// Earlier runs, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs: Vec<Epoch>,
    /// What people are still to be told, the oldest first. It is stored with what it tells of, and taken out once it was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub news: Vec<News>,
}

/// What a deployment does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not been started.
    #[default]
    Pending,
    /// A stage does its steps.
    InProgress,
    /// Stages wait at gates.
    Validating,
    /// It waits for a person.
    Paused,
    /// All stages are.
    Completed,
    /// It failed, and nothing was undone.
    Failed,
    /// Stages are being undone.
    RollingBack,
    /// Stages were undone.
    RolledBack,
    /// A new version took its place; kept of earlier runs only.
    Superseded,
}

/// How far a stage is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Which.
    pub name: Arc<str>,
    /// What it does.
    pub state: StageState,
    /// Why, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The position of the step that it is at; behind the last: it did all.
    #[serde(default)]
    pub step: usize,
    /// What that step is, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doing: String,
    /// Since when it is at it; absent: the next look says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How many stages were begun before it in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<usize>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The side of a blue/green strategy that it switches to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Since when the new side has the users that it has: the judge counts from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_from: Option<Timestamp>,
    /// What the judge remembers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judge>,
    /// What the judge said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// When it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_at: Option<Timestamp>,
    /// It was worse, and the document says that a person decides what becomes of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_word: bool,
    /// Who approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
}

/// What a stage does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// It has not begun.
    #[default]
    Pending,
    /// It does its steps.
    InProgress,
    /// It waits at a gate.
    Validating,
    /// It waits for a person.
    Paused,
    /// It is done.
    Completed,
    /// It failed, or was stopped, and was not undone.
    Failed,
    /// It is being undone.
    RollingBack,
    /// It was undone.
    RolledBack,
}

/// A person stopped the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Who; nobody: it goes on again, and the time that it stood is still to be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when; absent: the next look says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Why a deployment is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Abort {
    /// Who, if it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    pub reason: String,
    /// The stage that failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Arc<str>>,
}

/// Somebody's word for a manual gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// In whose name.
    pub approver: String,
    /// Who said so.
    pub by: String,
    /// When, by the clock of the gateway that was told.
    pub at: Timestamp,
}

/// Something that people are to be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// Unique: who is told twice can tell.
    pub id: String,
    /// What the deployment did then.
    pub state: State,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Which run it was.
    pub epoch: u64,
    /// The version that ran.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// One sentence.
    pub text: String,
    /// What it waited for then, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_on: Vec<String>,
}

/// An earlier run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Which.
    pub epoch: u64,
    /// The version that ran.
    pub version: String,
    /// How it ended.
    pub state: State,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Validating => "validating",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Superseded => "superseded",
        }
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::RolledBack | Self::Superseded)
    }

    /// Whether it was started and has not ended.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::InProgress | Self::Validating | Self::Paused | Self::RollingBack)
    }
}

impl StageState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::InProgress,
        Self::Validating,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::RollingBack,
        Self::RolledBack,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Validating => "validating",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Whether it does its steps, or waits at one.
    #[must_use]
    pub const fn is_running(self) -> bool {
        matches!(self, Self::InProgress | Self::Validating | Self::Paused)
    }
}

impl Status {
    /// The status in a document's field `status`; absent: one of a deployment that was never started.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(field: Option<&Value>) -> Result<Self, String> {
        match field.filter(|field| !field.is_null()) {
            None => Ok(Self::default()),
            Some(field) => Self::deserialize(field).map_err(|error| error.to_string()),
        }
    }

    /// As the document's field.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The stages of the document, each with its status.
    pub(super) fn align(&mut self, deployment: &Deployment) {
        let known = std::mem::take(&mut self.stages);
        let status = |name: &Arc<str>| {
            let fresh = || StageStatus { name: name.clone(), ..StageStatus::default() };
            known.iter().find(|status| status.name == *name).cloned().unwrap_or_else(fresh)
        };
        self.stages = deployment.stages.iter().map(|stage| status(&stage.name)).collect();
    }

    /// Another run begins; what flags were before they were touched stays known.
    pub(super) fn renew(&mut self, state: State, ended_as: State) {
        if self.epoch > 0 {
            self.epochs.push(Epoch {
                epoch: self.epoch,
                version: self.version.clone(),
                state: ended_as,
                reason: self.reason.take(),
                ended_at: self.ended_at,
            });
            let surplus = self.epochs.len().saturating_sub(MOST_EPOCHS);
            self.epochs.drain(..surplus);
        }
        *self = Self {
            state,
            epoch: self.epoch + 1,
            version: String::new(),
            stable: std::mem::take(&mut self.stable),
            stages: std::mem::take(&mut self.stages),
            epochs: std::mem::take(&mut self.epochs),
            news: std::mem::take(&mut self.news),
            ..Self::default()
        };
    }

    /// Names the step that a stage is at, in this run and no other.
    #[must_use]
    pub fn step_id(&self, stage: &StageStatus) -> String {
        format!("{}/{}/{}", self.epoch, stage.name, stage.step)
    }
}

impl StageStatus {
    /// It is at another step.
    pub(super) fn go_to(&mut self, step: usize) {
        self.step = step;
        self.since = None;
        self.reason = None;
        self.needs_word = false;
        self.state = StageState::InProgress;
    }

    /// Its counts begin anew; the evidence that there is stays.
    pub(super) fn judge_anew(&mut self, from: Option<Timestamp>) {
        self.judged_from = from;
        if let Some(judge) = &mut self.judge {
            judge.next_step();
        }
        (self.verdict, self.judged_at) = (None, None);
    }
}
