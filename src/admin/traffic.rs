//! `GET /traffic`: what became of the requests lately, by the ways that they went, of all gateways together.

use std::time::Duration;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin, openapi as schema,
    refusal::{Issue, Refusal},
};
use crate::{
    model::{Arm, ArmCounts, Latency},
    store::COUNTS_KEPT,
};

/// How many seconds are looked back, unless the request says otherwise.
const SECONDS: u64 = 60;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(traffic))
}

/// Requests, errors, latency and users of the last seconds for each arm that had requests: each way of a route by strategy
/// and upstream, and each variation of a flag that a route names. Counts of all gateways that share the store, merged. The
/// second that is now is left out, as it is not over.
#[utoipa::path(
    get, path = "/traffic", tag = "health", security(("token" = ["viewer"])),
    params(("seconds" = Option<u64>, Query, description = "how many seconds to look back, 1 to 900; 60 unless given")),
    responses(
        (status = 200, description = "`arms`: each with its figures; `gateways`: who counted", body = Value,
         example = json!({
            "from": "2026-11-25T10:00:00Z", "to": "2026-11-25T10:01:00Z", "seconds": 60,
            "gateways": [{ "id": "0198c0de-0000-7000-8000-000000000001", "last_seen": "2026-11-25T10:01:00.2Z" }],
            "arms": [{
                "route": "checkout", "strategy": "canary", "upstream": "checkout-v2", "requests": 900,
                "requests_per_second": 15.0, "errors": 9, "error_rate": 0.01, "p50_ms": 4.2, "p95_ms": 9.7, "p99_ms": 18.4,
                "users": 120, "users_with_error": 7
            }, {
                "flag": "checkout-canary", "variation": "true", "requests": 900, "requests_per_second": 15.0, "errors": 9,
                "error_rate": 0.01, "p50_ms": 4.2, "p95_ms": 9.7, "p99_ms": 18.4, "users": 120, "users_with_error": 7
            }]
         })),
        (status = 422, description = "a parameter is wrong", body = schema::Refusal),
        (status = 503, description = "the store does not answer", body = schema::Refusal),
    )
)]
async fn traffic(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Result<Json<Value>, Refusal> {
    let seconds = seconds(&query.unwrap_or_default())?;
    let now = admin.counters.now().await?;
    let to = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let from = to - Duration::from_secs(seconds);
    let counted = admin.counters.all_counts(from, to).await?;
    let arms = counted.arms.keys().map(|arm| figures(arm, &counted.total(arm), seconds));
    let gateways = counted.last_seen.iter().map(|(id, at)| json!({ "id": id, "last_seen": at }));
    Ok(Json(json!({
        "from": from, "to": to, "seconds": seconds,
        "gateways": gateways.collect::<Vec<_>>(),
        "arms": arms.collect::<Vec<_>>(),
    })))
}

fn figures(arm: &Arm, counts: &ArmCounts, seconds: u64) -> Value {
    let names = match arm {
        Arm::Route { route, strategy, upstream } => {
            json!({ "route": route, "strategy": strategy, "upstream": upstream })
        }
        Arm::Variation { flag, variation } => json!({ "flag": flag, "variation": variation }),
    };
    let quantile = |share| counts.latency.quantile(share).map(|bucket| Latency::end(bucket) as f64 / 1_000.0);
    let figures = json!({
        "requests": counts.requests,
        "requests_per_second": counts.requests as f64 / seconds as f64,
        "errors": counts.errors,
        "error_rate": (counts.requests > 0).then(|| counts.errors as f64 / counts.requests as f64),
        "p50_ms": quantile(0.5),
        "p95_ms": quantile(0.95),
        "p99_ms": quantile(0.99),
        "users": counts.users.count().round() as u64,
        "users_with_error": counts.users_with_error.count().round() as u64,
    });
    let parts =
        [names, figures].into_iter().filter_map(|part| if let Value::Object(part) = part { Some(part) } else { None });
    parts.flatten().collect::<Map<_, _>>().into()
}

fn seconds(query: &str) -> Result<u64, Refusal> {
    let mut given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "seconds");
    let Some((_, seconds)) = given.next() else { return Ok(SECONDS) };
    let seconds = seconds.parse().ok().filter(|seconds| (1..=COUNTS_KEPT.as_secs()).contains(seconds));
    seconds
        .ok_or_else(|| Refusal::Invalid(vec![Issue::of_query("seconds", "expected a number of seconds from 1 to 900")]))
}
