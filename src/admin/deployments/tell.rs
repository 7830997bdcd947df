//! A command of a person: read, decide, compare and set, and all of it again while others are faster.

use std::time::Duration;

use axum::{
    Json,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse, Response},
};
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::check::status_of;
use crate::{
    admin::{
        Admin,
        access::Caller,
        body::Body,
        conditional::Tag,
        documents::{Ask, Document as _, check_size, document_of, success_of},
        form::{Form, Kind},
        refusal::{Issue, Refusal},
    },
    clock,
    delivery::plan::{self, Command, Status},
    model::{DeploymentDocument, Role, did_you_mean},
    store::{Expected, StoreError},
};

/// How often a command is tried when others are faster.
const TRIES: u32 = 50;

/// The longest text of a command, in letters.
const LONGEST: usize = 1000;

impl Admin {
    /// Does what a person tells a deployment. It changes the status alone, so it can be done on any gateway.
    pub(super) async fn conduct(&self, ask: Ask, command: Command) -> Result<Response, Refusal> {
        let Ask { caller, key: id, conditions, dry_run, wait } = ask;
        for tried in 1..=TRIES {
            let stored = self.documents()?.get(&DeploymentDocument::key(&id)).await?;
            let document: DeploymentDocument = document_of(stored.as_ref())?;
            conditions.check(stored.as_ref().map(Tag::of).as_ref())?;
            // What is told to one that runs is done whatever became of its flags since.
            let begins = matches!(command, Command::Start | Command::Retry);
            let deployment = if begins { self.startable(&document)? } else { self.deployment(&document)? };
            if begins {
                self.check_alone(&deployment).await?;
            }
            let status = plan::command(&deployment, &status_of(&document)?, &command, &caller.name, clock::now())
                .map_err(|refused| Refusal::conflict(refused.to_string()))?;
            let mut fields = document.fields().clone();
            fields.insert("status".to_owned(), status.to_value());
            let next = DeploymentDocument::from_map(fields).map_err(|fault| Refusal::conflict(fault.message))?;
            check_size(&next)?;
            if dry_run.0 {
                return Ok(Json(told(&id, &status, "dry_run")).into_response());
            }
            let expected = stored.as_ref().map_or(Expected::Absent, |stored| Expected::Revision(stored.revision));
            match self.write(&caller, &id, Some(&next), expected).await {
                Ok(written) => {
                    self.told(&id, &command);
                    let tag = AppendHeaders([Tag::new(written.revision, &next.to_text()).header()]);
                    let (code, answer) =
                        self.acknowledged(Some(&written.world), wait, told(&id, &status, "success")).await;
                    return Ok((code, tag, answer).into_response());
                }
                // Another writer was faster, perhaps the conductor: what it wrote is looked at instead.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            sleep(Duration::from_millis(u64::from(tried.min(20)))).await;
        }
        Err(Refusal::conflict("others change this deployment all the time; try again"))
    }

    /// What else a command does.
    fn told(&self, id: &str, command: &Command) {
        if matches!(command, Command::Abort { .. }) {
            if let Some(rollbacks) = &self.deployments.rollbacks {
                rollbacks.count("-", "abort");
            }
            if let Some(nudge) = &self.deployments.nudge {
                nudge.roll_back(id);
            }
        }
    }
}

fn told(id: &str, status: &Status, done: &str) -> Map<String, Value> {
    let mut answer = success_of::<DeploymentDocument>(id);
    if done != "success" {
        answer.shift_remove("success");
        answer.shift_insert(0, done.to_owned(), true.into());
    }
    answer.insert("state".to_owned(), status.state.as_str().into());
    answer.insert("status".to_owned(), status.to_value());
    answer
}

/// Why, if the body says so.
pub(super) fn reason(body: Body) -> Result<Option<String>, Refusal> {
    let mut form = form(body)?;
    let reason = text(&mut form, "reason");
    finish(form, &["reason"])?;
    Ok(reason)
}

/// The stage and the approver of an approval. Only an admin approves in the name of others.
pub(super) fn approval(body: Body, caller: &Caller) -> Result<(Option<String>, String), Refusal> {
    let mut form = form(body)?;
    let (approver, stage) = (text(&mut form, "approver"), text(&mut form, "stage"));
    finish(form, &["approver", "stage"])?;
    let approver = approver.unwrap_or_else(|| caller.name.to_string());
    if *approver != *caller.name && caller.role < Role::Admin {
        let detail = format!("{} cannot approve in the name of {approver:?}: only an admin can", caller.name);
        return Err(Refusal::Status(StatusCode::FORBIDDEN, detail));
    }
    Ok((stage, approver))
}

/// The body, which may be left out.
fn form(body: Body) -> Result<Form, Refusal> {
    Ok(Form::new(if body.0.is_none() { Map::new() } else { body.object()? }))
}

fn text(form: &mut Form, name: &str) -> Option<String> {
    let value = form.nullable(name, Kind::Text)?;
    let text = value.as_str().unwrap_or_default();
    if text.chars().count() > LONGEST || text.contains('\0') {
        form.refuse(Issue::of_body(format!("at most {LONGEST} letters, and no NUL"), "value_error").at(name));
    }
    Some(text.to_owned())
}

fn finish(form: Form, known: &[&str]) -> Result<(), Refusal> {
    let (rest, mut issues) = form.finish();
    issues.extend(rest.keys().map(|name| {
        let hint = did_you_mean(name, known.iter().copied());
        Issue::of_body(format!("unknown field{hint}"), "value_error").at(name.as_str())
    }));
    Refusal::of_issues(issues)
}
