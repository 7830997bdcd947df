//! From one state of a switch to another: read, decide, compare and set, and all of it again while others are faster.

use std::time::Duration;

use axum::{
    Json,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    admin::{
        Admin,
        access::Caller,
        acknowledge::WaitFor,
        conditional::{Conditions, Tag},
        documents::{Document as _, check_size, document_of},
        form::{Form, Kind},
        refusal::{Issue, Refusal},
    },
    clock, eval,
    model::{Activation, KillStatus, KillSwitchDocument, WorldRevision, did_you_mean},
    snapshot::Snapshot,
    store::{Expected, StoreError},
    tripping::measure,
};

/// How long the store's time is waited for.
const TIME_WITHIN: Duration = Duration::from_millis(500);

/// How often a transition is tried when others are faster.
const TRIES: u32 = 50;

/// So many flags are named in an answer; of more, only how many there are.
const NAMED: usize = 100;

/// The longest reason, in letters.
const LONGEST_REASON: usize = 1000;

/// What became of a transition.
#[derive(Debug)]
pub(super) struct Done {
    /// The switch as it is now, or would be.
    pub(super) switch: KillSwitchDocument,
    /// Whether that is something new.
    pub(super) is_changed: bool,
    /// The world's revision after the write; of what was so already, that which is served.
    pub(super) world: Option<WorldRevision>,
    tag: Option<Tag>,
}

impl Admin {
    /// Makes of a switch what `decide` says of the one that is stored; none: it stays as it is.
    pub(super) async fn transition(
        &self,
        caller: &Caller,
        id: &str,
        conditions: &Conditions,
        is_dry_run: bool,
        decide: impl Fn(Option<&KillSwitchDocument>) -> Result<Option<KillSwitchDocument>, Refusal> + Send,
    ) -> Result<Done, Refusal> {
        for tried in 1..=TRIES {
            let stored = self.documents()?.get(&KillSwitchDocument::key(id)).await?;
            let tag = stored.as_ref().map(Tag::of);
            conditions.check(tag.as_ref())?;
            let before = stored.as_ref().map(|stored| document_of::<KillSwitchDocument>(Some(stored))).transpose()?;
            let Some(switch) = decide(before.as_ref())? else {
                let switch = before.unwrap_or_else(|| KillSwitchDocument::of_id(id));
                return Ok(Done { switch, is_changed: false, world: self.cell.load().revision().cloned(), tag });
            };
            check_size(&switch)?;
            if is_dry_run {
                return Ok(Done { switch, is_changed: true, world: None, tag });
            }
            let expected = stored.as_ref().map_or(Expected::Absent, |stored| Expected::Revision(stored.revision));
            match self.write(caller, id, Some(&switch), expected).await {
                Ok(written) => {
                    self.notifier.tell_of_kill_switch(&switch);
                    let tag = Some(Tag::new(written.revision, &switch.to_text()));
                    return Ok(Done { switch, is_changed: true, world: Some(written.world), tag });
                }
                // Another writer was faster: what it wrote is looked at instead.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            sleep(Duration::from_millis(u64::from(tried.min(20)))).await;
        }
        Err(Refusal::conflict("others change this kill switch all the time; try again"))
    }

    /// Notes in figures what an activation came to that is about to end; what else becomes of the switch is not touched.
    pub(super) async fn measured(&self, id: &str, now: Timestamp) -> Option<Activation> {
        let snapshot = self.cell.load();
        let switch = snapshot.checked_kill_switches().find(|switch| *switch.id == *id)?;
        let mut activation = switch.status.history.first().filter(|last| last.ended_at.is_none())?.clone();
        measure(&*self.counters, &snapshot, switch, &mut activation, now).await;
        Some(activation)
    }

    /// The time by which the steps of a recovery are counted: the store's, unless it does not tell.
    pub(super) async fn store_time(&self) -> Timestamp {
        let asked = timeout(TIME_WITHIN, self.counters.now()).await;
        asked.ok().and_then(Result::ok).unwrap_or_else(clock::now)
    }

    /// The answer to a transition, once all who are waited for serve it: all live gateways unless the request says else.
    pub(super) async fn killed(&self, done: &Done, wait: WaitFor, is_dry_run: bool) -> Response {
        let mut body = Map::new();
        body.insert(if is_dry_run { "dry_run" } else { "success" }.to_owned(), true.into());
        body.insert(KillSwitchDocument::TOLD_AS.to_owned(), done.switch.id().into());
        body.insert("changed".to_owned(), done.is_changed.into());
        body.extend(told(&done.switch, &self.cell.load()));
        let tag = done.tag.as_ref().map(|tag| AppendHeaders([tag.header()]));
        if is_dry_run {
            return (StatusCode::OK, tag, Json(body)).into_response();
        }
        let answer = self.acknowledged(done.world.as_ref(), wait.or_all(), body).await;
        (tag, answer).into_response()
    }
}

/// What a switch does: `{state, since, reason, kills: {flags, services}}`.
pub(super) fn told(document: &KillSwitchDocument, snapshot: &Snapshot) -> Map<String, Value> {
    let (switch, _) = eval::check_kill_switch(document);
    let mut flags = snapshot.killed_by(&switch);
    let count = flags.len();
    flags.truncate(NAMED);
    let mut kills = json!({ "flag_count": count, "flags": flags, "services": switch.services });
    if let Some(region) = &switch.region {
        kills["region"] = json!(region);
    }
    if let Some(segments) = &switch.segments {
        kills["segments"] = json!(segments);
    }
    let KillStatus { state, since, by, reason, recovery, .. } = &switch.status;
    let told =
        json!({ "state": state, "since": since, "by": by, "reason": reason, "recovery": recovery, "kills": kills });
    if let Value::Object(told) = told { told } else { Map::new() }
}

/// The state of a stored switch.
pub(super) fn status_of(switch: &KillSwitchDocument) -> Result<KillStatus, Refusal> {
    let damaged = |error| Refusal::conflict(format!("the stored state is damaged ({error}); write the switch anew"));
    switch.status().map_err(damaged)
}

/// A stored switch that kills no more, or begins to let users through; none: it kills nothing as it is.
pub(super) fn lifted(
    switch: Option<&KillSwitchDocument>,
    by: &str,
    reason: &str,
    gradually: bool,
    (now, measured): (Timestamp, Option<&Activation>),
) -> Result<Option<KillSwitchDocument>, Refusal> {
    let switch = switch.ok_or_else(|| Refusal::not_found(KillSwitchDocument::NOT_FOUND))?;
    let mut status = status_of(switch)?;
    let (checked, _) = eval::check_kill_switch(switch);
    // One that lets users through already goes on doing so.
    if gradually && status.recovery.is_some() {
        return Ok(None);
    }
    if let (Some(activation), Some(measured)) = (status.history.first_mut(), measured)
        && activation.number == measured.number
    {
        activation.error_rate_before = measured.error_rate_before;
        activation.error_rate_after = measured.error_rate_after;
        activation.requests_affected = measured.requests_affected;
    }
    let changed = match gradually {
        true => status.let_through(&checked.recovering.steps, by, reason, now),
        false => status.lift(by, reason, now),
    };
    Ok(changed.then(|| switch.with_status(&status)))
}

/// Why something is killed: whoever comes later wants to know.
pub(super) fn required_reason(form: &mut Form) -> Option<String> {
    let reason = form.required("reason", Kind::Text)?;
    let reason = reason.as_str().unwrap_or_default().trim();
    if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
        let message = format!("say in 1 to {LONGEST_REASON} letters why");
        form.refuse(Issue::of_body(message, "value_error").at("reason"));
        return None;
    }
    Some(reason.to_owned())
}

/// Fails if anything was wrong, or if a field was not taken.
pub(super) fn finish(form: Form, known: &[&str]) -> Result<(), Refusal> {
    let (rest, mut issues) = form.finish();
    issues.extend(rest.keys().map(|name| {
        let hint = did_you_mean(name, known.iter().copied());
        Issue::of_body(format!("unknown field{hint}"), "value_error").at(name.as_str())
    }));
    Refusal::of_issues(issues)
}
