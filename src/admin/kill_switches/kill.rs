//! `POST /kill`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    target::{self, Target},
    transition::{finish, required_reason, status_of},
};
use crate::{
    admin::{
        Admin,
        body::Body,
        documents::{Ask, formed},
        form::Form,
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    clock,
    model::KillSwitchDocument,
};

/// Kills flags, tags, segments, services, a region or all, at once: every field that is named narrows it down, and the answer
/// names the switch that does it, what it kills, and how many gateways applied it in how many milliseconds. The same target
/// has the same switch, so that killing it twice is as once.
#[utoipa::path(
    post, path = "/kill", tag = "kill switches", security(("token" = ["operator"])),
    params(
        schema::Killing,
    ),
    request_body(content = schema::Kill, example = json!({ "flags": ["new-checkout"], "reason": "errors in the checkout" })),
    responses(
        (status = 200, description = "all live gateways serve it, or as many as were asked for", body = schema::Killed),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Killed),
        (status = 400, description = "a condition cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "the stored switch is damaged, or others change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, or names what there is not, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn kill(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    let mut form = Form::new(body.object()?);
    let target = Target::take(&mut form);
    let reason = required_reason(&mut form);
    if target.is_none() {
        let message = "name flags, tags, segments, services or a region, or say \"all\": true";
        form.refuse(Issue::of_body(message, "value_error"));
    }
    finish(form, &[target::FIELDS.as_slice(), &["reason"]].concat())?;
    let (Some(target), Some(reason)) = (target, reason) else {
        return Ok(StatusCode::UNPROCESSABLE_ENTITY.into_response());
    };
    let snapshot = admin.cell.load();
    target.check(&snapshot, &admin)?;
    let (id, by) = (target.id(), ask.caller.name.to_string());
    let decide = |stored: Option<&KillSwitchDocument>| {
        let (switch, is_other) = match stored {
            Some(stored) => of_target(stored, &target),
            None => (new(&id, &target, &by)?, true),
        };
        let mut status = status_of(&switch)?;
        let is_triggered = status.trigger(&by, &reason, false, None, clock::now());
        Ok((is_other || is_triggered).then(|| switch.with_status(&status)))
    };
    let done = admin.transition(&ask.caller, &id, &ask.conditions, ask.dry_run.0, decide).await?;
    Ok(admin.killed(&done, ask.wait, ask.dry_run.0).await)
}

fn new(id: &str, target: &Target, by: &str) -> Result<KillSwitchDocument, Refusal> {
    let mut fields = target.fields();
    fields.insert("id".to_owned(), id.into());
    fields.insert("name".to_owned(), target.name().into());
    fields.insert("created_by".to_owned(), by.into());
    formed(fields, clock::now())
}

/// A switch that somebody made to kill something else in the meantime kills what was asked for again. Says whether it was so.
fn of_target(stored: &KillSwitchDocument, target: &Target) -> (KillSwitchDocument, bool) {
    let (wanted, complete) = (target.fields(), stored.complete());
    if wanted.iter().all(|(name, value)| complete.get(name) == Some(value)) {
        return (stored.clone(), false);
    }
    let mut fields = stored.fields().clone();
    fields.shift_remove("scope_value");
    fields.extend(wanted);
    (KillSwitchDocument::from_map(fields).unwrap_or_else(|_| stored.clone()), true)
}
