//! What an entry of the audit log says that happened.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::About;
use crate::{
    delivery::plan::{StageState, State, Status},
    model::{Action, DeploymentDocument, DocumentKind, KillState, KillSwitchDocument},
    store::{AuditEntry, Expected, Written},
    telemetry::events::{EventKind, Happening},
};

/// The event of a flag that was written.
pub(super) fn flag(about: &About, written: &Written) -> Happening {
    let action = match about.expected {
        _ if about.removes => Action::Deleted,
        Expected::Absent => Action::Created,
        Expected::Any if written.revision == 1 => Action::Created,
        Expected::Any | Expected::Present | Expected::Revision(_) => Action::Updated,
    };
    let data = json!({ "flag": about.document.key, "action": action, "flag_revision": written.revision });
    happening(EventKind::FlagUpdated, (written.world.number, &about.actor, about.at), data)
}

/// The events of a change of a kill switch or a deployment.
pub(super) fn of(entry: &AuditEntry) -> Vec<Happening> {
    match entry.document.kind {
        DocumentKind::KillSwitch => kill_switch(entry).into_iter().collect(),
        DocumentKind::Deployment => deployment(entry),
        DocumentKind::Flag | DocumentKind::Segment | DocumentKind::MlModel => Vec::new(),
    }
}

/// The revision of all that a change led to, who made it and when.
type Change<'c> = (u64, &'c str, Timestamp);

fn change(entry: &AuditEntry) -> Change<'_> {
    (entry.revision.number, &entry.actor, entry.at)
}

fn happening(kind: EventKind, (revision, actor, at): Change<'_>, data: Value) -> Happening {
    let mut fields = match data {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    fields.retain(|_, value| !value.is_null());
    fields.insert("revision".to_owned(), revision.into());
    fields.insert("changed_by".to_owned(), actor.into());
    Happening::new(kind, at, fields)
}

/// Of a switch that kills only what it did not before: one that is written while it kills does so no more than once.
fn kill_switch(entry: &AuditEntry) -> Option<Happening> {
    let status = |text: Option<&str>| KillSwitchDocument::parse(text?).ok()?.status().ok();
    let after = status(entry.after.as_deref())?;
    let before = status(entry.before.as_deref()).unwrap_or_default();
    let is_new = before.state != KillState::Triggered || before.activations != after.activations;
    if after.state != KillState::Triggered || !is_new {
        return None;
    }
    let data = json!({
        "kill_switch": entry.document.key,
        "automatic": after.automatic,
        "activation": after.activations,
        "by": after.by,
        "reason": after.reason,
    });
    Some(happening(EventKind::KillSwitchTriggered, change(entry), data))
}

fn deployment(entry: &AuditEntry) -> Vec<Happening> {
    if entry.action == Action::Deleted {
        return Vec::new();
    }
    let status = |text: Option<&str>| {
        let document = DeploymentDocument::parse(text?).ok()?;
        Status::read(document.fields().get("status")).ok()
    };
    let Some(after) = status(entry.after.as_deref()) else { return Vec::new() };
    let before = status(entry.before.as_deref()).unwrap_or_default();
    let id = &entry.document.key;
    let is_another_run = before.epoch != after.epoch;
    let mut told = Vec::new();
    if is_under_way(after.state) && (is_another_run || before.state == State::Pending) {
        let data = json!({ "deployment": id, "run": after.epoch, "version": version(&after) });
        told.push(happening(EventKind::DeploymentStarted, change(entry), data));
    }
    for stage in &after.stages {
        let known = before.stages.iter().find(|known| known.name == stage.name);
        let was_done = known.is_some_and(|known| known.state == StageState::Completed);
        if stage.state == StageState::Completed && !was_done {
            let data = json!({
                "deployment": id, "run": after.epoch, "version": version(&after), "stage": stage.name,
                "state": after.state.as_str(), "reason": stage.reason,
            });
            told.push(happening(EventKind::DeploymentStageCompleted, change(entry), data));
        }
    }
    if is_failed(after.state) && (is_another_run || !is_failed(before.state)) {
        let abort = after.abort.as_ref();
        let data = json!({
            "deployment": id, "run": after.epoch, "version": version(&after), "state": after.state.as_str(),
            "reason": abort.map(|abort| abort.reason.as_str()).or(after.reason.as_deref()),
            "stage": abort.and_then(|abort| abort.stage.clone()), "stopped_by": abort.and_then(|abort| abort.by.clone()),
        });
        told.push(happening(EventKind::DeploymentFailed, change(entry), data));
    }
    told
}

fn version(status: &Status) -> Option<&str> {
    Some(status.version.as_str()).filter(|version| !version.is_empty())
}

/// Whether it goes forward, or waits to.
const fn is_under_way(state: State) -> bool {
    matches!(state, State::InProgress | State::Validating | State::Paused)
}

/// Whether it failed or was stopped.
const fn is_failed(state: State) -> bool {
    matches!(state, State::Failed | State::RollingBack | State::RolledBack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DocumentKey, WorldRevision};

    /// The events of a change, each in a line.
    fn told(document: DocumentKey, before: Option<Value>, after: Option<Value>) -> Vec<String> {
        let action = match (&before, &after) {
            (None, _) => Action::Created,
            (Some(_), None) => Action::Deleted,
            (Some(_), Some(_)) => Action::Updated,
        };
        let text = |value: Option<Value>| value.map(|value| value.to_string().into());
        let entry = AuditEntry {
            revision: WorldRevision { epoch: "e".into(), number: 7 },
            document,
            action,
            document_revision: 3,
            actor: "ann".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            before: text(before),
            after: text(after),
        };
        of(&entry).iter().map(|told| format!("{} {}", told.kind.as_str(), json!(told.data))).collect()
    }

    #[test]
    fn flags() {
        for (expected, revision, removes, action) in [
            (Expected::Absent, 9, false, "created"),
            (Expected::Any, 1, false, "created"),
            (Expected::Any, 2, false, "updated"),
            (Expected::Revision(8), 9, false, "updated"),
            (Expected::Revision(8), 8, true, "deleted"),
        ] {
            let (document, actor, at) = (DocumentKey::flag("a"), "ann".to_owned(), Timestamp::UNIX_EPOCH);
            let about = About { document, actor, at, expected, removes };
            let world = WorldRevision { epoch: "e".into(), number: 7 };
            let told = flag(&about, &Written { revision, world });
            let expected = json!({
                "flag": "a", "action": action, "flag_revision": revision, "revision": 7, "changed_by": "ann",
            });
            assert_eq!((told.kind, Value::Object(told.data)), (EventKind::FlagUpdated, expected));
        }
    }

    #[test]
    fn a_switch_is_told_when_it_begins_to_kill() {
        let switch = |state: &str, activations: u64| {
            let status = json!({ "state": state, "activations": activations, "by": "bob", "reason": "errors" });
            Some(json!({ "id": "k", "status": status }))
        };
        for (before, after, expected) in [
            (None, switch("triggered", 1), true),
            (switch("inactive", 0), switch("triggered", 1), true),
            (switch("recovering", 1), switch("triggered", 2), true),
            (switch("triggered", 1), switch("triggered", 1), false),
            (switch("triggered", 1), switch("recovering", 1), false),
            (switch("triggered", 1), switch("inactive", 1), false),
            (None, switch("inactive", 0), false),
            (switch("triggered", 1), None, false),
        ] {
            let found = told(DocumentKey::kill_switch("k"), before.clone(), after.clone());
            assert_eq!(found.len(), usize::from(expected), "{before:?} {after:?}");
            assert!(found.iter().all(|told| told.starts_with("kill_switch_triggered {\"kill_switch\":\"k\"")));
        }
    }

    #[test]
    fn deployments_tell_each_step_once() {
        let document = |state: &str, epoch: u64, stages: [&str; 2]| {
            let stages: Vec<Value> = ["one", "two"]
                .iter()
                .zip(stages)
                .map(|(name, state)| json!({ "name": name, "state": state }))
                .collect();
            Some(json!({ "id": "d", "status": { "state": state, "epoch": epoch, "stages": stages } }))
        };
        let fresh = ["pending", "pending"];
        let (first, both) = (["completed", "in_progress"], ["completed", "completed"]);
        for (before, after, expected) in [
            (None, document("pending", 0, fresh), vec![]),
            (document("pending", 0, fresh), document("in_progress", 1, fresh), vec!["deployment_started"]),
            (document("in_progress", 1, fresh), document("paused", 1, fresh), vec![]),
            (document("in_progress", 1, fresh), document("validating", 1, first), vec!["deployment_stage_completed"]),
            (document("validating", 1, first), document("completed", 1, both), vec!["deployment_stage_completed"]),
            (document("validating", 1, first), document("rolling_back", 1, first), vec!["deployment_failed"]),
            (document("rolling_back", 1, first), document("rolled_back", 1, fresh), vec![]),
            (document("in_progress", 1, first), document("failed", 1, first), vec!["deployment_failed"]),
            (document("rolled_back", 1, fresh), document("in_progress", 2, fresh), vec!["deployment_started"]),
            (document("completed", 1, both), document("in_progress", 2, fresh), vec!["deployment_started"]),
            (document("failed", 1, first), None, vec![]),
        ] {
            let found = told(DocumentKey::deployment("d"), before.clone(), after.clone());
            let kinds: Vec<&str> = found.iter().filter_map(|told| told.split(' ').next()).collect();
            assert_eq!(kinds, expected, "{before:?} {after:?}");
        }
    }
}
