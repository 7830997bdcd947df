//! `POST /kill-switches/{id}/activate`.

use super::transition::{finish, required_reason, status_of};
use crate::{
    admin::{
        Admin,
        body::Body,
        documents::{Ask, Document as _},
        form::Form,
        openapi as schema,
        refusal::Refusal,
    },
    clock,
    model::KillSwitchDocument,
};
use axum::{extract::State, response::Response};

/// Activates a kill switch: `{"success": true, "kill_switch_id": …, "state": "triggered", "kills": …}`, and how many gateways
/// applied it in how many milliseconds. One that is triggered already stays so; one that recovers is triggered anew.
#[utoipa::path(
    post, path = "/kill-switches/{id}/activate", tag = "kill switches", security(("token" = ["operator"])),
    params(
        ("id" = String, Path, description = "the kill switch's id"),
        schema::Killing,
        schema::IfMatch,
    ),
    request_body(content = serde_json::Value, example = json!({ "reason": "errors in the checkout" })),
    responses(
        (status = 200, description = "all live gateways serve it, or as many as were asked for", body = schema::Killed),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Killed),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such kill switch", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "the stored document is damaged, or others change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect; `ETag` tells how it is", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn activate(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    let Ask { caller, key, conditions, dry_run, wait } = ask;
    let mut form = Form::new(body.object()?);
    let reason = required_reason(&mut form);
    finish(form, &["reason"])?;
    let (reason, by) = (reason.unwrap_or_default(), caller.name.to_string());
    let done = admin
        .transition(&caller, &key, &conditions, dry_run.0, |switch: Option<&KillSwitchDocument>| {
            let switch = switch.ok_or_else(|| Refusal::not_found(KillSwitchDocument::NOT_FOUND))?;
            let mut status = status_of(switch)?;
            let changed = status.trigger(&by, &reason, false, None, clock::now());
            Ok(changed.then(|| switch.with_status(&status)))
        })
        .await?;
    Ok(admin.killed(&done, wait, dry_run.0).await)
}
