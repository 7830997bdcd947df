//! `GET /deployments`.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{AppendHeaders, IntoResponse, Response},
};

use super::check::status_of;
use crate::{
    admin::{
        Admin,
        documents::Document as _,
        openapi as schema,
        paging::{Page, TOTAL},
        refusal::{Issue, Refusal},
    },
    delivery::plan::State as Of,
    model::DeploymentDocument,
};

/// The states of a deployment.
const STATES: [Of; 8] = [
    Of::Pending,
    Of::InProgress,
    Of::Validating,
    Of::Paused,
    Of::Completed,
    Of::Failed,
    Of::RollingBack,
    Of::RolledBack,
];

/// The deployments as this gateway serves them, by id. Damaged documents are in `/diagnostics` instead.
#[utoipa::path(
    get, path = "/deployments", tag = "deployments", security(("token" = ["viewer"])),
    params(
        ("state" = Option<Vec<String>>, Query, description = "only deployments in one of these states; `live`: those that were started and have not ended"),
        ("limit" = Option<u64>, Query, description = "a page of so many"),
        ("cursor" = Option<String>, Query, description = "where the page begins, as `Link` says it"),
    ),
    responses(
        (status = 200, description = "the deployments; `Link` tells the next page, `X-Total-Count` how many there are", body = Vec<schema::Deployment>),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    page: Page,
) -> Result<Response, Refusal> {
    let states = states(query.as_deref().unwrap_or_default())?;
    let is_in = |document: &&DeploymentDocument| {
        states.is_empty() || status_of(document).is_ok_and(|status| states.contains(&status.state))
    };
    let snapshot = admin.cell.load();
    let mut found: Vec<&DeploymentDocument> = snapshot.deployments().filter(is_in).collect();
    let total = found.len();
    found.retain(|document| page.after.as_deref().is_none_or(|after| document.id() > after));
    let limit = page.limit.unwrap_or(found.len());
    let more = found.len() > limit;
    found.truncate(limit);
    let link = found.last().filter(|_| more).map(|last| AppendHeaders([page.next(last.id())]));
    let documents: Vec<_> = found.iter().map(|document| document.complete()).collect();
    Ok((link, AppendHeaders([(TOTAL, total.to_string())]), Json(documents)).into_response())
}

fn states(query: &str) -> Result<Vec<Of>, Refusal> {
    let mut states = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, STATES.into_iter().find(|state| state.as_str() == value)) {
            ("state", Some(state)) => states.push(state),
            ("state", None) if value == "live" => states.extend(STATES.into_iter().filter(|state| state.is_live())),
            ("state", None) => {
                let known = STATES.map(Of::as_str).join(", ");
                return Err(Refusal::Invalid(vec![Issue::of_query("state", &format!("expected live, {known}"))]));
            }
            (_, _) => {}
        }
    }
    Ok(states)
}
