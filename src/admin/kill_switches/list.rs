//! `GET /kill-switches`.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{AppendHeaders, IntoResponse, Response},
};
use serde_json::Value;

use crate::{
    admin::{
        Admin, openapi as schema,
        paging::{Page, TOTAL},
        refusal::{Issue, Refusal},
    },
    eval::KillScope,
    model::{KillState, KillSwitchDocument},
};

/// The states of a switch.
const STATES: [KillState; 3] = [KillState::Inactive, KillState::Triggered, KillState::Recovering];

/// The kill switches as this gateway serves them, by id. Damaged documents are in `/diagnostics` instead.
#[utoipa::path(
    get, path = "/kill-switches", tag = "kill switches", security(("token" = ["viewer"])),
    params(
        ("state" = Option<String>, Query, description = "only switches that are `inactive`, `triggered` or `recovering`; `active` are the latter two"),
        ("scope" = Option<String>, Query, description = "only switches of this scope"),
        ("tag" = Option<Vec<String>>, Query, description = "only switches with one of these tags"),
        ("limit" = Option<u64>, Query, description = "a page of so many"),
        ("cursor" = Option<String>, Query, description = "where the page begins, as `Link` says it"),
    ),
    responses(
        (status = 200, description = "the kill switches; `Link` tells the next page, `X-Total-Count` how many there are", body = Vec<schema::KillSwitch>),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    page: Page,
) -> Result<Response, Refusal> {
    let search = Search::parse(query.as_deref().unwrap_or_default())?;
    let snapshot = admin.cell.load();
    let mut found: Vec<&KillSwitchDocument> =
        snapshot.kill_switches().filter(|document| search.finds(document)).collect();
    let total = found.len();
    found.retain(|document| page.after.as_deref().is_none_or(|after| document.id() > after));
    let limit = page.limit.unwrap_or(found.len());
    let more = found.len() > limit;
    found.truncate(limit);
    let link = found.last().filter(|_| more).map(|last| AppendHeaders([page.next(last.id())]));
    let documents: Vec<_> = found.iter().map(|document| document.complete()).collect();
    Ok((link, AppendHeaders([(TOTAL, total.to_string())]), Json(documents)).into_response())
}

/// What is looked for.
#[derive(Debug, Default)]
struct Search {
    states: Vec<KillState>,
    scope: Option<String>,
    tags: Vec<String>,
}

impl Search {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let mut search = Self::default();
        let wrong = |name: &str, known: &[&str]| {
            Err(Refusal::Invalid(vec![Issue::of_query(name, &format!("expected {}", known.join(", ")))]))
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "state" if value == "active" => search.states.extend([KillState::Triggered, KillState::Recovering]),
                "state" => match STATES.into_iter().find(|state| state.as_str() == value) {
                    Some(state) => search.states.push(state),
                    None => return wrong("state", &["active", "inactive", "triggered", "recovering"]),
                },
                "scope" if KillScope::ALL.iter().any(|scope| scope.as_str() == value) => {
                    search.scope = Some(value.into_owned());
                }
                "scope" => return wrong("scope", &KillScope::ALL.map(KillScope::as_str)),
                "tag" => search.tags.push(value.into_owned()),
                _ => {}
            }
        }
        Ok(search)
    }

    fn finds(&self, document: &KillSwitchDocument) -> bool {
        let fields = document.fields();
        let tags = || fields.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let scope = || fields.get("scope").and_then(Value::as_str).unwrap_or(KillScope::Feature.as_str());
        let state = document.status().unwrap_or_default().state;
        (self.states.is_empty() || self.states.contains(&state))
            && self.scope.as_deref().is_none_or(|wanted| wanted == scope())
            && (self.tags.is_empty() || tags().any(|own| self.tags.iter().any(|tag| tag == own)))
    }
}
