//! `GET /insights`.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::{RawQuery, State},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::changes::changes;
use crate::{
    admin::{
        Admin, openapi as schema,
        refusal::{Issue, Refusal},
    },
    analytics::{
        DeploymentView, FlagView, Range, RouteView, SegmentView, Severity, Sources, Tried, View, attribute,
        flag_report_of, insights, route_report_of,
    },
    clock,
    model::{Context, Subject},
    snapshot::Snapshot,
    store::{Series, StoreError},
};

/// What is looked at of traffic.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// So many flags and routes are looked at, those that were used.
const MOST: usize = 300;

/// So many users who were here lately are tried.
const USERS: usize = 200;

/// After so long a flag that nobody changed or evaluated is left alone.
const LONG: SignedDuration = SignedDuration::from_hours(24 * 30);

/// What somebody should look at, the worst first: `insights`, each with its evidence and what could be done; and
/// `attributions`: what changed on variations and ways of routes, beside what people and deployments changed in the minutes
/// before.
#[utoipa::path(
    get, path = "/insights", tag = "analytics", security(("token" = ["viewer"])),
    params(("severity" = Option<String>, Query, description = "only `critical`, or `warning` and `critical`; all unless given")),
    responses(
        (status = 200, description = "`insights` and `attributions`", body = Value, example = json!({
            "as_of": "2026-11-30T12:00:00Z",
            "insights": [{ "rule": "worse_latency", "severity": "warning", "kind": "flag", "name": "new-checkout",
                "finding": "requests of \"true\" take 21 % longer than the control's (surely 14 % or more)", "evidence": {},
                "recommendation": "`flaggate analytics new-checkout` shows more; send fewer users to \"true\" until it is mended" }],
            "attributions": [],
        })),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Result<Json<Value>, Refusal> {
    let least = severity(&query.unwrap_or_default())?;
    let sources = admin.sources();
    let now = sources.now().await?;
    let snapshot = admin.cell.load();
    let (flags, routes) = used(&sources, &snapshot, now).await?;
    let changes = changes(&admin, now).await?;
    let recents = admin.recent.remembered();
    let watched_since = admin.usage.began(&snapshot, clock::now());
    let usage = admin.usage.clone();
    let work = move || {
        let view = view(&snapshot, &usage, (flags, routes), &recents, now, watched_since);
        let series: Vec<&Series> =
            view.flags.iter().map(|flag| &flag.series).chain(view.routes.iter().map(|route| &route.series)).collect();
        let attributions = attribute(&series, &changes, now);
        let mut found = insights(&view);
        found.retain(|insight| insight.severity <= least);
        json!({ "as_of": now, "insights": found, "attributions": attributions })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(told) => Ok(Json(told)),
        Err(error) => {
            log::error!("admin: insights failed: {error}");
            let detail = "the insights could not be worked out".to_owned();
            Err(Refusal::Status(axum::http::StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
    }
}

fn severity(query: &str) -> Result<Severity, Refusal> {
    let given = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "severity");
    match given.as_ref().map(|(_, value)| &**value) {
        None | Some("info") => Ok(Severity::Info),
        Some("warning") => Ok(Severity::Warning),
        Some("critical") => Ok(Severity::Critical),
        Some(_) => {
            Err(Refusal::Invalid(vec![Issue::of_query("severity", "expected \"critical\", \"warning\" or \"info\"")]))
        }
    }
}

/// The flags and routes that were used in the last day, with what they did.
async fn used(
    sources: &Sources,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<(BTreeMap<String, FlagView>, Vec<RouteView>), StoreError> {
    let range = Range { from: now - DAY, to: now, step: 3_600 };
    let mut subjects: BTreeSet<Subject> = sources
        .analytics
        .subjects(range.from.as_second() / 3_600, now.as_second() / 3_600 + 1)
        .await?
        .into_iter()
        .collect();
    // What is not yet summed up by minutes.
    let lately = sources.counters.all_counts(now - SignedDuration::from_mins(3), now).await?;
    subjects.extend(lately.arms.keys().map(crate::model::Arm::subject));
    let (mut flags, mut routes) = (BTreeMap::new(), Vec::new());
    for subject in subjects.into_iter().take(MOST) {
        match &subject {
            Subject::Flag(key) => {
                let (day, series) = flag_report_of(sources, snapshot, key, range, None).await?;
                flags.insert(key.to_string(), FlagView { day, series, ..FlagView::default() });
            }
            Subject::Route(name) => {
                let (day, series) = route_report_of(sources, name, range, None).await?;
                routes.push(RouteView { name: name.to_string(), day, series });
            }
        }
    }
    Ok((flags, routes))
}

fn view(
    snapshot: &Snapshot,
    usage: &crate::admin::UsageWatch,
    (mut used, routes): (BTreeMap<String, FlagView>, Vec<RouteView>),
    recents: &crate::recent::Remembered,
    now: Timestamp,
    watched_since: Option<Timestamp>,
) -> View {
    let wall = clock::now();
    let mut stale: BTreeMap<String, Vec<(String, Timestamp)>> = BTreeMap::new();
    for (key, reason, since) in usage.signs(snapshot, LONG, wall) {
        stale.entry(key).or_default().push((reason, since));
    }
    let users: Vec<(&str, Value)> = recents
        .users
        .iter()
        .take(USERS)
        .map(|(seen, _)| (seen.user_id(), serde_json::from_str(seen.attributes()).unwrap_or_default()))
        .collect();
    let flags = snapshot.keys().map(|key| {
        let known = used.remove(key).unwrap_or_default();
        FlagView {
            key: key.to_owned(),
            stale: stale.remove(key).unwrap_or_default(),
            changed_at: snapshot.changed_at(key),
            draws: snapshot.draws(key, wall),
            tried: tried(snapshot, key, &users, wall),
            ..known
        }
    });
    let segments = snapshot.segments().map(|(index, segment)| {
        let is_member = |(user_id, attributes): &&(&str, Value)| {
            let Some(attributes) = attributes.as_object() else { return false };
            snapshot.evaluator(Context { user_id, attributes, now: wall }).is_member(index)
        };
        let flags = snapshot.segment_dependents(segment.id()).1;
        SegmentView {
            id: segment.id().to_owned(),
            users: users.len(),
            members: users.iter().filter(is_member).count(),
            flags: flags.iter().map(ToString::to_string).collect(),
        }
    });
    let deployments = snapshot.deployments().map(|document| {
        let (fields, text) = (document.fields(), |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default());
        let status = fields.get("status").unwrap_or(&Value::Null);
        let times =
            status["stages"].as_array().into_iter().flatten().filter_map(|stage| stage["since"].as_str()?.parse().ok());
        let started = status["started_at"].as_str().and_then(|at| at.parse().ok());
        DeploymentView {
            id: fields.get("id").map(&text).unwrap_or_default(),
            state: text(&status["state"]),
            since: times.max().or(started),
            waiting_on: status["waiting_on"].as_array().into_iter().flatten().map(text).collect(),
        }
    });
    View {
        now,
        watched_since,
        flags: flags.collect(),
        routes,
        segments: segments.collect(),
        deployments: deployments.collect(),
    }
}

/// What becomes of users who were here lately, as a flag is now.
fn tried(snapshot: &Snapshot, key: &str, users: &[(&str, Value)], now: Timestamp) -> Tried {
    let asks = snapshot.document(key).is_some_and(|document| {
        let has_any =
            |name: &str| document.fields().get(name).and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        has_any("targeting_rules") || has_any("prerequisites")
    });
    let Some(flag) = snapshot.flag(key).filter(|_| asks) else { return Tried::default() };
    let (mut rules, mut prerequisites) =
        (BTreeMap::<u64, (usize, usize)>::new(), BTreeMap::<String, (usize, usize)>::new());
    for (user_id, attributes) in users {
        let Some(attributes) = attributes.as_object() else { continue };
        let told = snapshot.explain(flag, Context { user_id, attributes, now });
        for step in told["steps"].as_array().into_iter().flatten() {
            let (tally, holds) = match step["step"].as_str() {
                Some("rule") => {
                    (rules.entry(step["position"].as_u64().unwrap_or_default()).or_default(), step["result"] == "yes")
                }
                Some("prerequisite") => (
                    prerequisites.entry(step["key"].as_str().unwrap_or_default().to_owned()).or_default(),
                    step["met"] == true,
                ),
                _ => continue,
            };
            tally.0 += 1;
            tally.1 += usize::from(holds);
        }
    }
    Tried {
        rules: rules.into_iter().map(|(position, (tried, matched))| (position, tried, matched)).collect(),
        prerequisites: prerequisites.into_iter().map(|(key, (tried, met))| (key, tried, met)).collect(),
    }
}
