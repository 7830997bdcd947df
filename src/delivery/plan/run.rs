//! One step of the machine: what goes on, what begins, what ends.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Observation, Seen, SetFlag, setting,
    status::{Abort, StageState, State, Status},
};
use crate::delivery::deployment::{Deployment, Setting, Step, told};

/// The machine while it makes one step.
pub(super) struct Run<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) seen: &'a Observation,
    pub(super) status: Status,
    pub(super) waiting: Vec<String>,
}

/// What a look at the step of a stage leads to.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// It is done.
    Next,
    /// It is not, because of this.
    Wait(String),
    /// It never will be, because of this.
    Fail(String),
    /// A person has to decide, because of this.
    Pause(String),
}

impl<'a> Run<'a> {
    pub(super) fn new(deployment: &'a Deployment, status: &Status, seen: &'a Observation) -> Self {
        let mut status = status.clone();
        status.align(deployment);
        Self { deployment, seen, status, waiting: Vec::new() }
    }

    pub(super) fn step(mut self) -> super::Step {
        if self.status.state.is_ended() {
            return super::Step { status: self.status, commands: Vec::new() };
        }
        match self.status.state {
            State::Pending => self.waiting.push("somebody to start it".to_owned()),
            State::InProgress | State::Validating | State::Paused => self.go_on(),
            State::RollingBack | State::Completed | State::Failed | State::RolledBack | State::Superseded => {}
        }
        if self.status.state == State::RollingBack {
            self.waiting.clear();
            self.roll_back();
        }
        let commands = self.commands();
        self.status.waiting_on = self.waiting;
        super::Step { status: self.status, commands }
    }

    /// The flags that are not as they have to be.
    fn commands(&mut self) -> Vec<SetFlag> {
        if !self.status.state.is_live() {
            return Vec::new();
        }
        let mut commands = Vec::new();
        for (flag, fields) in setting::desired(self.deployment, &self.status, &self.seen.flags) {
            match self.seen.flags.get(&flag) {
                Some(found) if setting::is_at(found, &fields) => {}
                Some(_) => commands.push(SetFlag { flag, fields }),
                None => self.waiting.push(format!("the flag {flag:?}, which is not there")),
            }
        }
        commands
    }

    fn go_on(&mut self) {
        let now = self.seen.now;
        let has_begun = self.status.stages.iter().any(|stage| stage.order.is_some());
        if let (Some((other, what)), false) = (&self.seen.in_the_way, has_begun) {
            self.waiting.push(format!("the deployment {other:?}, which touches {what}"));
            return;
        }
        let started = *self.status.started_at.get_or_insert(now);
        if let Some(most) = self.deployment.max_duration.filter(|most| since(started, now) >= *most) {
            self.undo(None, format!("it took longer than {}", told(most)));
            return;
        }
        if self.is_held(now) {
            return;
        }
        for position in 0..self.deployment.stages.len() {
            if self.status.stages[position].state.is_running() {
                self.advance(position);
            }
            if self.status.state == State::RollingBack {
                return;
            }
        }
        self.settle();
        self.begin();
        self.sum_up();
    }

    /// Whether a person stopped the clock. When it goes on, the time that it stood is left out.
    fn is_held(&mut self, now: Timestamp) -> bool {
        let Some(hold) = &mut self.status.hold else { return false };
        let held_since = *hold.since.get_or_insert(now);
        if let Some(by) = &hold.by {
            let why = hold.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
            self.waiting.push(format!("somebody to resume it: paused by {by}{why}"));
            self.status.state = State::Paused;
            return true;
        }
        let stood = since(held_since, now);
        for stage in self.status.stages.iter_mut().filter(|stage| stage.state.is_running()) {
            stage.since = stage.since.and_then(|since| since.checked_add(stood).ok()).map(|since| since.min(now));
            stage.judge_anew(None);
        }
        self.status.hold = None;
        false
    }

    /// Looks at the step of a stage, and goes to the next one if it is done.
    fn advance(&mut self, position: usize) {
        let (deployment, now) = (self.deployment, self.seen.now);
        let stage = &deployment.stages[position];
        let state = &mut self.status.stages[position];
        let Some(step) = stage.steps.get(state.step) else {
            self.complete(position);
            return;
        };
        let begun = *state.since.get_or_insert(now);
        state.doing = step.describe();
        let is_stuck = state.needs_word;
        let outcome = self.outcome(position, step, begun);
        let state = &mut self.status.stages[position];
        match outcome {
            Outcome::Fail(why) => {
                state.state = StageState::Failed;
                state.reason = Some(why.clone());
                self.undo(Some(&stage.name), why);
            }
            Outcome::Next | Outcome::Wait(_) | Outcome::Pause(_) if is_stuck => {
                let why = state.reason.clone().unwrap_or_default();
                self.waiting.push(format!("{}: somebody to resume, promote or abort it: {why}", stage.name));
            }
            Outcome::Next => {
                state.go_to(state.step + 1);
                if matches!(step, Step::Set(_)) {
                    state.judge_anew(None);
                }
                match stage.steps.get(state.step) {
                    Some(next) => {
                        state.since = Some(now);
                        state.doing = next.describe();
                        if matches!(next, Step::Gate(_)) {
                            state.state = StageState::Validating;
                        }
                    }
                    None => self.complete(position),
                }
            }
            Outcome::Wait(what) => {
                let is_gate = matches!(step, Step::Gate(_));
                state.state = if is_gate { StageState::Validating } else { StageState::InProgress };
                self.waiting.push(format!("{}: {what}", stage.name));
            }
            Outcome::Pause(why) => {
                state.state = StageState::Paused;
                state.reason = Some(why.clone());
                self.waiting.push(format!("{}: somebody to resume, promote or abort it: {why}", stage.name));
            }
        }
    }

    fn outcome(&mut self, position: usize, step: &Step, begun: Timestamp) -> Outcome {
        let now = self.seen.now;
        let stage = &self.deployment.stages[position];
        match step {
            Step::Smoke => self.smoke(position, begun),
            Step::Set(setting) => self.set(position, *setting),
            Step::Wait(time) => match self.guard(position) {
                Some(outcome) => outcome,
                None => until(begun, *time, now),
            },
            Step::Hold => {
                let word = Outcome::Pause("the document asks for it".to_owned());
                self.guard(position).unwrap_or(word)
            }
            Step::Analysis(time) => self.analysis(position, *time, begun),
            Step::Compare(time) => self.compare(position, *time, begun),
            Step::Gate(gate) => {
                // Behind the steps the new side serves, and is watched on.
                let watched = if stage.setting(self.status.stages[position].step).is_some() {
                    self.guard(position)
                } else {
                    None
                };
                watched.unwrap_or_else(|| self.gate(position, gate, begun))
            }
        }
    }

    fn smoke(&self, position: usize, begun: Timestamp) -> Outcome {
        let stage = &self.deployment.stages[position];
        let upstream = stage.upstream(self.status.stages[position].side).map_or("", |upstream| &**upstream);
        let Some(found) = self.looked(position).and_then(|seen| seen.smoke.as_ref()) else {
            return Outcome::Wait(format!("health and smoke tests of the upstream {upstream:?}"));
        };
        let Some(first) = found.first() else { return Outcome::Next };
        let within = stage.smoke.as_ref().map(|smoke| smoke.timeout).unwrap_or_default();
        if since(begun, self.seen.now) >= within {
            return Outcome::Fail(format!("the upstream {upstream:?} does not pass after {}: {first}", told(within)));
        }
        Outcome::Wait(format!("the upstream {upstream:?} to pass: {first}"))
    }

    /// Done once the stored flag is seen to be as the status says.
    fn set(&self, position: usize, setting: Setting) -> Outcome {
        let stage = &self.deployment.stages[position];
        let key = stage.flag.as_ref();
        let desired = setting::desired(self.deployment, &self.status, &self.seen.flags);
        let found = key.and_then(|key| Some((self.seen.flags.get(key)?, desired.get(key)?)));
        match (found, setting) {
            (Some((flag, fields)), _) if setting::is_at(flag, fields) => Outcome::Next,
            (_, Setting::Share(share)) => {
                Outcome::Wait(format!("the flag {:?} to be at {share} %", key.map_or("", |key| key)))
            }
            (_, Setting::Back) => Outcome::Wait(format!("the flag {:?} to be as it was", key.map_or("", |key| key))),
            (_, Setting::Switch) => Outcome::Wait(format!("the flag {:?} to switch sides", key.map_or("", |key| key))),
        }
    }

    /// What was found out for the step at which a stage is.
    pub(super) fn looked(&self, position: usize) -> Option<&'a Seen> {
        let state = &self.status.stages[position];
        self.seen.seen.get(&state.name).filter(|seen| seen.step_id == self.status.step_id(state))
    }

    fn complete(&mut self, position: usize) {
        let now = self.seen.now;
        let state = &mut self.status.stages[position];
        state.state = StageState::Completed;
        state.ended_at = Some(now);
        state.doing.clear();
        state.judge = None;
    }

    /// Flags of an earlier version that this one does not touch are forgotten once they are back.
    fn settle(&mut self) {
        let ours = |flag: &Arc<str>| self.deployment.flags().any(|own| own == flag);
        let back: Vec<Arc<str>> = self
            .status
            .stable
            .iter()
            .filter(|(flag, fields)| {
                !ours(flag) && self.seen.flags.get(*flag).is_none_or(|found| setting::is_at(found, fields))
            })
            .map(|(flag, _)| flag.clone())
            .collect();
        for flag in back {
            self.status.stable.remove(&flag);
        }
    }

    /// Begins the stages whose turn it is.
    fn begin(&mut self) {
        for position in 0..self.deployment.stages.len() {
            if self.status.stages[position].state != StageState::Pending {
                continue;
            }
            let stage = &self.deployment.stages[position];
            let runs = self.status.stages.iter().find(|other| other.state.is_running());
            let missing = stage.dependencies.iter().map(|other| &self.status.stages[*other]);
            let missing =
                missing.filter(|other| other.state != StageState::Completed).map(|other| other.name.clone()).next();
            if let Some(other) = missing {
                self.waiting.push(format!("{}: the stage {other:?}", stage.name));
            } else if let (Some(other), false) = (runs, self.deployment.is_parallel) {
                self.waiting.push(format!("{}: its turn, after the stage {:?}", stage.name, other.name));
            } else {
                match self.begin_one(position) {
                    Ok(()) => {}
                    Err(what) => self.waiting.push(format!("{}: {what}", stage.name)),
                }
            }
        }
    }

    /// Begins a stage, unless something has to be so first.
    fn begin_one(&mut self, position: usize) -> Result<(), String> {
        let stage = &self.deployment.stages[position];
        let mut side = stage.to;
        if let Some(key) = &stage.flag {
            let flag = self.seen.flags.get(key).ok_or_else(|| format!("the flag {key:?}, which is not there"))?;
            let desired = setting::desired(self.deployment, &self.status, &self.seen.flags);
            if desired.get(key).is_some_and(|fields| !setting::is_at(flag, fields)) {
                return Err(format!("the flag {key:?} to be as it was before"));
            }
            let known = self.status.stable.contains_key(key);
            let now_has = setting::share(flag);
            if let Some(first) = stage.first_share().filter(|first| !known && now_has > *first) {
                return Err(format!("the flag {key:?} to be at {first} % or less; it is at {now_has} % already"));
            }
            if stage.strategy == "blue_green" {
                let serving =
                    setting::serving(flag).ok_or_else(|| format!("the flag {key:?} to serve blue or green"))?;
                side = Some(side.unwrap_or_else(|| serving.other()));
            }
            if !known {
                self.status.stable.insert(key.clone(), setting::captured(stage, flag));
            }
        }
        let order = self.status.stages.iter().filter_map(|stage| stage.order).max().map_or(0, |last| last + 1);
        let now = self.seen.now;
        let state = &mut self.status.stages[position];
        state.order = Some(order);
        state.started_at = Some(now);
        state.side = side;
        state.go_to(0);
        state.since = Some(now);
        state.doing = stage.steps.first().map(Step::describe).unwrap_or_default();
        if matches!(stage.steps.first(), Some(Step::Gate(_))) {
            state.state = StageState::Validating;
        }
        Ok(())
    }

    /// The state of the whole.
    fn sum_up(&mut self) {
        let stages = &self.status.stages;
        let has = |state| stages.iter().any(|stage| stage.state == state);
        self.status.state = if stages.iter().all(|stage| stage.state == StageState::Completed) {
            State::Completed
        } else if has(StageState::InProgress) {
            State::InProgress
        } else if has(StageState::Paused) {
            State::Paused
        } else if has(StageState::Validating) {
            State::Validating
        } else {
            State::InProgress
        };
        if self.status.state == State::Completed {
            self.status.ended_at = Some(self.seen.now);
            // What was promoted is what is stable from now on.
            self.status.stable.clear();
            self.waiting.clear();
        }
    }

    /// From now on everything is undone.
    pub(super) fn undo(&mut self, stage: Option<&Arc<str>>, why: String) {
        let reason = stage.map_or_else(|| why.clone(), |stage| format!("the stage {stage:?} failed: {why}"));
        self.status.state = State::RollingBack;
        self.status.hold = None;
        self.status.reason = Some(reason.clone());
        self.status.abort = Some(Abort { by: None, reason, stage: stage.cloned() });
    }
}

/// How long ago that was. A clock that went back makes it shorter, never longer.
pub(super) fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// Done once the time has passed.
pub(super) fn until(begun: Timestamp, time: Duration, now: Timestamp) -> Outcome {
    if since(begun, now) >= time {
        return Outcome::Next;
    }
    let end = begun.checked_add(time).map_or_else(|_| "for ever".to_owned(), |end| format!("until {end:.0}"));
    Outcome::Wait(format!("{} to pass, {end}", told(time)))
}
