//! `POST /kill/lift`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{
    target::{self, Target},
    transition::{finish, lifted},
};
use crate::{
    admin::{
        Admin,
        body::Body,
        documents::Ask,
        form::{Form, Kind},
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    model::{KillState, KillSwitchDocument, did_you_mean},
    snapshot::Snapshot,
};

/// Undoes `/kill`: the same target lifts the switch that kills it, `ids` lift these, `"everything": true` all that are
/// active. With `gradually` the users come back in steps. What is not killed is no error; what other switches still kill is
/// told.
#[utoipa::path(
    post, path = "/kill/lift", tag = "kill switches", security(("token" = ["operator"])),
    params(
        schema::Killing,
    ),
    request_body(content = schema::Lift, example = json!({ "flags": ["new-checkout"], "reason": "mended" })),
    responses(
        (status = 200, description = "all live gateways serve it, or as many as were asked for", body = schema::Killed),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Killed),
        (status = 400, description = "a condition cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such kill switch", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "a stored switch is damaged, or others change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "a switch is not as the conditions expect", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, or names what there is not, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn lift(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    let mut form = Form::new(body.object()?);
    let wanted = Wanted::take(&mut form);
    let reason = form.nullable("reason", Kind::Text).and_then(|reason| reason.as_str().map(str::to_owned));
    let gradually = form.nullable("gradually", Kind::Boolean).is_some_and(|gradually| gradually == true);
    if wanted.is_none() {
        let message = "name what was killed, the \"ids\" of switches, or say \"everything\": true";
        form.refuse(Issue::of_body(message, "value_error"));
    }
    finish(form, &[target::FIELDS.as_slice(), &["ids", "everything", "reason", "gradually"]].concat())?;
    let (by, reason) = (ask.caller.name.to_string(), reason.unwrap_or_else(|| "lifted".to_owned()));
    let snapshot = admin.cell.load();
    let (ids, flags) = wanted.unwrap_or(Wanted::Ids(Vec::new())).ids(&snapshot, &admin)?;
    let now = admin.store_time().await;
    let (mut changed, mut world) = (Vec::new(), None);
    for id in ids {
        let measured = admin.measured(&id, now).await;
        let at = (now, measured.as_ref());
        let decide = |switch: Option<&KillSwitchDocument>| lifted(switch, &by, &reason, gradually, at);
        let done = admin.transition(&ask.caller, &id, &ask.conditions, ask.dry_run.0, decide).await?;
        if done.is_changed {
            changed.push(id);
        }
        // Of several writes the last is served last.
        world = done.world.or(world);
    }
    let mut body = Map::new();
    body.insert(if ask.dry_run.0 { "dry_run" } else { "success" }.to_owned(), true.into());
    body.insert("lifted".to_owned(), json!(changed));
    body.insert("state".to_owned(), json!(if gradually { KillState::Recovering } else { KillState::Inactive }));
    let mut still = Map::new();
    for flag in &flags {
        let others: Vec<&str> =
            snapshot.killers_of(flag).filter(|id| !changed.iter().any(|lifted| lifted == id)).collect();
        if !others.is_empty() {
            still.insert(flag.clone(), json!(others));
        }
    }
    body.insert("still_killed_by".to_owned(), Value::Object(still));
    if ask.dry_run.0 {
        return Ok(axum::Json(body).into_response());
    }
    let world = world.or_else(|| snapshot.revision().cloned());
    Ok(admin.acknowledged(world.as_ref(), ask.wait.or_all(), body).await.into_response())
}

/// What is to be lifted.
enum Wanted {
    Target(Target),
    Ids(Vec<String>),
    Everything,
}

impl Wanted {
    fn take(form: &mut Form) -> Option<Self> {
        let target = Target::take(form);
        let ids = form.nullable("ids", Kind::Texts);
        let everything = form.nullable("everything", Kind::Boolean).is_some_and(|everything| everything == true);
        let ids = ids.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str).map(str::to_owned);
        let mut ids: Vec<String> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        match (target, ids.is_empty(), everything) {
            (Some(target), true, false) => Some(Self::Target(target)),
            (None, false, false) => Some(Self::Ids(ids)),
            (None, true, true) => Some(Self::Everything),
            (None, true, false) => None,
            (_, _, _) => {
                form.refuse(Issue::of_body("either what was killed, or ids, or everything", "value_error"));
                Some(Self::Ids(ids))
            }
        }
    }

    /// The switches that are lifted, and the flags that are asked about.
    fn ids(self, snapshot: &Snapshot, admin: &Admin) -> Result<(Vec<String>, Vec<String>), Refusal> {
        match self {
            Self::Target(target) => {
                target.check(snapshot, admin)?;
                let id = target.id();
                let ids = snapshot.kill_switch(&id).map(|_| id).into_iter().collect();
                Ok((ids, target.flags().to_vec()))
            }
            Self::Ids(ids) => {
                let known = || snapshot.kill_switches().map(KillSwitchDocument::id);
                let unknown = ids.iter().enumerate().filter(|(_, id)| snapshot.kill_switch(id).is_none());
                let issue = |(position, id): (usize, &String)| {
                    let message = format!("there is no kill switch {id:?}{}", did_you_mean(id, known()));
                    Issue::of_body(message, "value_error").at("ids").at(position)
                };
                Refusal::of_issues(unknown.map(issue).collect())?;
                Ok((ids, Vec::new()))
            }
            Self::Everything => {
                let active = snapshot.checked_kill_switches().filter(|switch| switch.status.is_active());
                Ok((active.map(|switch| switch.id.to_string()).collect(), Vec::new()))
            }
        }
    }
}
