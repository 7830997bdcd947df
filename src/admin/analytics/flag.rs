//! `GET /analytics/flags/{key}`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::{Value, json};

use super::{Over, Wanted, changes::changes};
use crate::{
    admin::{Admin, documents::Key, openapi as schema, refusal::Refusal},
    analytics::{attribute, flag_report_of},
};

/// What each variation of a flag did to the traffic and to what users did: evaluations, requests, errors, latency, distinct
/// users, and conversions and values of those whom a draw put into it; each beside the control, with an interval and a p-value
/// that hold however often one looks. All gateways together.
#[utoipa::path(
    get, path = "/analytics/flags/{key}", tag = "analytics", security(("token" = ["viewer"])),
    params(("key" = String, Path, description = "the flag's key"), Over),
    responses(
        (status = 200, description = "`variations`, each with its figures; `series` by step; `sample_ratio`; `attributions`: what was changed before errors or latency changed", body = Value,
         example = json!({
            "flag": "new-checkout", "from": "2026-11-30T10:00:00Z", "to": "2026-11-30T11:00:00Z", "step": 60, "control": "false",
            "alpha": 0.05, "evaluations": 20_000, "requests": 20_000, "participants": 9_000, "one_in": 1, "crossed": 0,
            "sample_ratio": { "since": "2026-11-30T10:00:00Z", "expected": { "false": 0.5, "true": 0.5 },
                "counted": { "false": 4_490, "true": 4_510 }, "p_value": 1.0, "is_mismatch": false },
            "variations": [{ "name": "true", "is_control": false, "share": 0.5, "requests": 10_000, "error_rate": 0.002,
                "p95_ms": 41.0, "users": 4_500, "metrics": { "purchase": { "converted": 540, "rate": 0.12, "rate_compared": {
                    "lift": { "estimate": 0.18, "low": 0.02, "high": 0.34 }, "p_value": 0.011 } } } }],
            "series": [{ "at": "2026-11-30T10:00:00Z", "arms": { "true": { "requests": 160, "errors": 0, "p95_ms": 40.0 } } }]
         })),
        (status = 404, description = "no such flag", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn flag(
    State(admin): State<Admin>,
    Key(key): Key,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let sources = admin.sources();
    let now = sources.now().await?;
    let wanted = Wanted::parse(query.as_deref(), now)?;
    let snapshot = admin.cell.load();
    let (report, series) = flag_report_of(&sources, &snapshot, &key, wanted.range, wanted.control.as_deref()).await?;
    let report = report.ok_or_else(|| Refusal::not_found(format!("Flag {key} not found")))?;
    let mut told = json!(report);
    told["attributions"] = json!(attribute(&[&series], &changes(&admin, now).await?, now));
    Ok(Json(told))
}
