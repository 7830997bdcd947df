//! What people tell a deployment. A command changes the status alone, so any gateway can take it; the machine goes on
//! from there. It stamps no time that anything is counted from: those come from the store's clock.

use jiff::Timestamp;

use super::status::{Abort, Approval, Hold, StageState, StageStatus, State, Status};
use crate::delivery::deployment::{Deployment, GateKind, Stage, Step};

/// What a person tells a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Begin.
    Start,
    /// Stop the clock.
    Pause {
        /// Why.
        reason: Option<String>,
    },
    /// Go on.
    Resume,
    /// Do not wait any longer at this step.
    Promote,
    /// Send everybody to the new side now.
    PromoteFull,
    /// Undo it.
    Abort {
        /// Why.
        reason: Option<String>,
    },
    /// Try again what was undone or failed.
    Retry,
    /// A manual gate may open, as far as one approver is concerned.
    Approve {
        /// Which stage; none: the one that waits for this approver.
        stage: Option<String>,
        /// In whose name.
        approver: String,
    },
    /// Another version of the document takes its place.
    Supersede,
}

/// Why a command is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// The status after a command.
///
/// # Errors
/// The command means nothing in this state.
pub fn command(
    deployment: &Deployment,
    status: &Status,
    command: &Command,
    by: &str,
    at: Timestamp,
) -> Result<Status, Refused> {
    let mut next = status.clone();
    next.align(deployment);
    match command {
        Command::Start => start(deployment, &mut next)?,
        Command::Pause { reason } => pause(&mut next, by, reason.as_deref())?,
        Command::Resume => resume(deployment, &mut next)?,
        Command::Promote => promote(deployment, &mut next, false)?,
        Command::PromoteFull => promote(deployment, &mut next, true)?,
        Command::Abort { reason } => abort(&mut next, by, reason.as_deref())?,
        Command::Retry => retry(deployment, &mut next)?,
        Command::Approve { stage, approver } => {
            let approval = Approval { approver: approver.clone(), by: by.to_owned(), at };
            approve(deployment, &mut next, stage.as_deref(), approval)?;
        }
        Command::Supersede => supersede(deployment, &mut next)?,
    }
    Ok(next)
}

fn refused<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(why.into()))
}

fn start(deployment: &Deployment, status: &mut Status) -> Result<(), Refused> {
    match status.state {
        State::Pending => {
            status.state = State::InProgress;
            status.epoch = status.epoch.max(1);
            status.version.clone_from(&deployment.version);
            Ok(())
        }
        State::Failed | State::RolledBack => refused("it ended; `retry` begins it anew"),
        State::Completed | State::Superseded => {
            refused("it is completed; a new version of the document can be started")
        }
        State::InProgress | State::Validating | State::Paused | State::RollingBack => refused("it is started already"),
    }
}

/// Refuses what only a deployment can do that goes on.
fn going(status: &Status) -> Result<(), Refused> {
    match status.state {
        State::InProgress | State::Validating | State::Paused => Ok(()),
        State::Pending => refused("it is not started yet"),
        State::RollingBack => refused("it is being rolled back"),
        State::Completed | State::Failed | State::RolledBack | State::Superseded => {
            refused(format!("it is {}", status.state.as_str().replace('_', " ")))
        }
    }
}

fn pause(status: &mut Status, by: &str, reason: Option<&str>) -> Result<(), Refused> {
    going(status)?;
    if let Some(by) = status.hold.as_ref().and_then(|hold| hold.by.as_ref()) {
        return refused(format!("it is paused already by {by}"));
    }
    // If it went on a moment ago and nobody saw it yet, it stood all the time.
    let since = status.hold.as_ref().and_then(|hold| hold.since);
    status.hold = Some(Hold { by: Some(by.to_owned()), reason: reason.map(str::to_owned), since });
    status.state = State::Paused;
    Ok(())
}

fn resume(deployment: &Deployment, status: &mut Status) -> Result<(), Refused> {
    going(status)?;
    if let Some(hold) = status.hold.take_if(|hold| hold.by.is_some()) {
        status.hold = hold.since.map(|since| Hold { by: None, reason: None, since: Some(since) });
        status.state = State::InProgress;
        return Ok(());
    }
    let mut resumed = false;
    for (stage, state) in deployment.stages.iter().zip(&mut status.stages) {
        if state.state != StageState::Paused {
            continue;
        }
        resumed = true;
        if matches!(stage.steps.get(state.step), Some(Step::Hold)) {
            state.go_to(state.step + 1);
        } else {
            state.go_to(state.step);
            state.judge_anew(None);
        }
    }
    if !resumed {
        return refused("it is not paused");
    }
    status.state = State::InProgress;
    Ok(())
}

fn promote(deployment: &Deployment, status: &mut Status, fully: bool) -> Result<(), Refused> {
    going(status)?;
    if let Some(by) = status.hold.as_ref().and_then(|hold| hold.by.as_ref()) {
        return refused(format!("it is paused by {by}; resume it first"));
    }
    let mut why = "no stage runs".to_owned();
    let mut promoted = false;
    for (stage, state) in deployment.stages.iter().zip(&mut status.stages) {
        if !state.state.is_running() {
            continue;
        }
        match target(stage, state, fully) {
            Ok(step) => {
                state.go_to(step);
                promoted = true;
            }
            Err(reason) => why = reason,
        }
    }
    if !promoted {
        return refused(why);
    }
    status.state = State::InProgress;
    Ok(())
}

/// The step to which a stage is promoted.
fn target(stage: &Stage, state: &StageStatus, fully: bool) -> Result<usize, String> {
    let name = &stage.name;
    let here = stage.steps.get(state.step);
    match here {
        None => return Err(format!("the stage {name:?} has done all its steps")),
        Some(Step::Smoke) => return Err(format!("the stage {name:?} does not pass its smoke tests")),
        Some(Step::Gate(gate)) => match &gate.kind {
            GateKind::Manual(_) => return Err(format!("the stage {name:?} waits for approvals: use `approve`")),
            GateKind::Metric(_) if !fully => {
                return Err(format!("the stage {name:?} waits for its figures; `promote_full` overrules them"));
            }
            GateKind::Metric(_) | GateKind::Automatic(_) | GateKind::Scheduled(_) => return Ok(state.step + 1),
        },
        Some(Step::Set(_)) if !fully => return Err(format!("the flag of the stage {name:?} is being set")),
        Some(Step::Set(_) | Step::Wait(_) | Step::Hold | Step::Analysis(_) | Step::Compare(_)) => {}
    }
    if !fully {
        return Ok(state.step + 1);
    }
    match stage.steps.iter().rposition(|step| matches!(step, Step::Set(_))).filter(|last| *last > state.step) {
        Some(last) => Ok(last),
        None if matches!(here, Some(Step::Set(_))) => Err(format!("the flag of the stage {name:?} is being set")),
        None => {
            let rest = stage.steps.iter().skip(state.step + 1);
            let skipped =
                rest.take_while(|step| !matches!(step, Step::Gate(gate) if matches!(gate.kind, GateKind::Manual(_))));
            Ok(state.step + 1 + skipped.count())
        }
    }
}

fn abort(status: &mut Status, by: &str, reason: Option<&str>) -> Result<(), Refused> {
    match status.state {
        State::Pending | State::InProgress | State::Validating | State::Paused => {}
        State::RollingBack => return refused("it is being rolled back already"),
        State::Completed | State::Failed | State::RolledBack | State::Superseded => {
            return refused(format!("it is {}", status.state.as_str().replace('_', " ")));
        }
    }
    let reason = reason.map_or_else(|| format!("aborted by {by}"), |reason| format!("aborted by {by}: {reason}"));
    status.hold = None;
    status.epoch = status.epoch.max(1);
    status.state = State::RollingBack;
    status.reason = Some(reason.clone());
    status.abort = Some(Abort { by: Some(by.to_owned()), reason, stage: None });
    Ok(())
}

fn retry(deployment: &Deployment, status: &mut Status) -> Result<(), Refused> {
    match status.state {
        State::Failed | State::RolledBack => {}
        State::RollingBack => return refused("it is being rolled back; retry it once that is done"),
        State::Pending => return refused("it is not started yet"),
        State::InProgress | State::Validating | State::Paused => return refused("it runs"),
        State::Completed | State::Superseded => return refused("it is completed"),
    }
    let ended = status.state;
    status.renew(State::InProgress, ended);
    status.version.clone_from(&deployment.version);
    // What was completed and not undone stays so.
    let kept = |stage: &StageStatus| stage.state == StageState::Completed;
    let mut order = 0;
    for stage in &mut status.stages {
        if kept(stage) {
            stage.order = Some(order);
            order += 1;
        } else {
            *stage = StageStatus { name: stage.name.clone(), ..StageStatus::default() };
        }
    }
    Ok(())
}

fn supersede(deployment: &Deployment, status: &mut Status) -> Result<(), Refused> {
    let state = match status.state {
        State::Pending if status.epoch == 0 => return Ok(()),
        State::Pending | State::Completed | State::Failed | State::RolledBack | State::Superseded => State::Pending,
        State::InProgress | State::Validating | State::Paused => State::InProgress,
        State::RollingBack => return refused("it is being rolled back; write the new version once that is done"),
    };
    let ended = if status.state.is_live() { State::Superseded } else { status.state };
    status.renew(state, ended);
    status.version.clone_from(&deployment.version);
    for stage in &mut status.stages {
        *stage = StageStatus { name: stage.name.clone(), ..StageStatus::default() };
    }
    Ok(())
}

fn approve(
    deployment: &Deployment,
    status: &mut Status,
    wanted: Option<&str>,
    approval: Approval,
) -> Result<(), Refused> {
    if status.state.is_ended() || status.state == State::RollingBack {
        return refused(format!("it is {}", status.state.as_str().replace('_', " ")));
    }
    let names = |stage: &Stage| {
        stage.steps.iter().any(|step| match step {
            Step::Gate(gate) => match &gate.kind {
                GateKind::Manual(approvers) => approvers.iter().any(|name| **name == *approval.approver),
                GateKind::Automatic(_) | GateKind::Scheduled(_) | GateKind::Metric(_) => false,
            },
            Step::Smoke | Step::Set(_) | Step::Wait(_) | Step::Hold | Step::Analysis(_) | Step::Compare(_) => false,
        })
    };
    if let Some(wanted) = wanted.filter(|wanted| deployment.stages.iter().all(|stage| *stage.name != **wanted)) {
        return refused(format!("there is no stage {wanted:?}"));
    }
    let is_open = |state: &StageStatus| state.state.is_running() || state.state == StageState::Pending;
    let given = |state: &StageStatus| state.approvals.iter().any(|known| known.approver == approval.approver);
    let positions: Vec<usize> = (0..deployment.stages.len())
        .filter(|position| names(&deployment.stages[*position]) && is_open(&status.stages[*position]))
        .filter(|position| wanted.is_none_or(|wanted| *deployment.stages[*position].name == *wanted))
        .collect();
    let Some(first) = positions.iter().copied().find(|position| !given(&status.stages[*position])) else {
        return match positions.is_empty() {
            true => refused(format!("no stage asks {:?} for an approval", approval.approver)),
            false => refused(format!("{:?} has approved already", approval.approver)),
        };
    };
    status.stages[first].approvals.push(approval);
    Ok(())
}
