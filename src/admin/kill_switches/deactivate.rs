//! `POST /kill-switches/{id}/deactivate`.

use axum::{extract::State, response::Response};
use serde_json::Map;

use super::transition::{finish, lifted};
use crate::{
    admin::{
        Admin,
        body::Body,
        documents::Ask,
        form::{Form, Kind},
        openapi as schema,
        refusal::Refusal,
    },
    model::KillSwitchDocument,
};

/// Deactivates a kill switch: what it killed is as it was before. With `gradually` the users come back in the steps of its
/// recovery instead of all at once.
#[utoipa::path(
    post, path = "/kill-switches/{id}/deactivate", tag = "kill switches", security(("token" = ["operator"])),
    params(
        ("id" = String, Path, description = "the kill switch's id"),
        schema::Killing,
        schema::IfMatch,
    ),
    request_body(content = serde_json::Value, example = json!({ "reason": "mended", "gradually": true })),
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
pub(super) async fn deactivate(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    let Ask { caller, key, conditions, dry_run, wait } = ask;
    let mut form = Form::new(body.0.map_or(Ok(Map::new()), |body| Body(Some(body)).object())?);
    let reason = form.nullable("reason", Kind::Text).and_then(|reason| reason.as_str().map(str::to_owned));
    let gradually = form.nullable("gradually", Kind::Boolean).is_some_and(|gradually| gradually == true);
    finish(form, &["reason", "gradually"])?;
    let (reason, by) = (reason.unwrap_or_else(|| "deactivated".to_owned()), caller.name.to_string());
    let now = admin.store_time().await;
    let measured = admin.measured(&key, now).await;
    let done = admin
        .transition(&caller, &key, &conditions, dry_run.0, |switch: Option<&KillSwitchDocument>| {
            lifted(switch, &by, &reason, gradually, (now, measured.as_ref()))
        })
        .await?;
    Ok(admin.killed(&done, wait, dry_run.0).await)
}
