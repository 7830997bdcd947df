//! `GET /flags/stale`, and watching which flags are evaluated.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::get;
use crate::{
    admin::{
        Admin,
        conditional::Conditions,
        documents::Key,
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    clock,
    snapshot::{Snapshot, SnapshotCell, Usage},
};

/// After how many days a flag counts as left alone, unless the request says otherwise.
const DAYS: u32 = 30;

/// The same.
pub(super) const LONG: SignedDuration = SignedDuration::from_hours(24 * DAYS as i64);

/// The most days that can be asked for.
const MOST_DAYS: u32 = 3650;

/// How often the counts of evaluations are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Knows since when each flag was not evaluated.
#[derive(Clone, Debug, Default)]
pub struct UsageWatch(Arc<Mutex<Usage>>);

impl UsageWatch {
    /// Looks at the counts from time to time, for ever.
    pub(in crate::admin) async fn watch(self, cell: SnapshotCell) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.looked_at(&cell.load(), clock::now(), |_| ());
        }
    }

    /// Since when this gateway watches which flags are evaluated.
    pub(in crate::admin) fn began(&self, snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
        self.looked_at(snapshot, now, Usage::began)
    }

    /// The signs that flags are stale: the flag, which sign, and since when.
    pub(in crate::admin) fn signs(
        &self,
        snapshot: &Snapshot,
        long: SignedDuration,
        now: Timestamp,
    ) -> Vec<(String, String, Timestamp)> {
        self.looked_at(snapshot, now, |usage| {
            let stale = snapshot.stale(usage, long, now).into_iter();
            let signs = stale.flat_map(|flag| flag.reasons.into_iter().map(move |sign| (flag.key, sign)));
            let name = |reason| json!(reason).as_str().map(str::to_owned).unwrap_or_default();
            signs.map(|(key, sign)| (key.to_owned(), name(sign.reason), sign.since)).collect()
        })
    }

    /// Looks at the counts, and then at what is known.
    pub(super) fn looked_at<T>(&self, snapshot: &Snapshot, now: Timestamp, look: impl FnOnce(&Usage) -> T) -> T {
        let mut usage = self.0.lock().expect("nothing panics while it holds the counts");
        if snapshot.revision().is_some() {
            usage.observe(snapshot, now);
        }
        look(&usage)
    }
}

/// The flags that are stale, with the reasons: `{as_of, days, evaluations_since, flags}`. A flag that is called `stale` is
/// answered instead, unless the query says `report`.
#[utoipa::path(
    get, path = "/flags/stale", tag = "flags", security(("token" = ["viewer"])),
    params(
        ("days" = Option<u32>, Query, description = "after how many days a flag counts as left alone; 30 unless given"),
        ("report" = Option<bool>, Query, description = "the report, even if there is a flag called `stale`"),
    ),
    responses(
        (status = 200, description = "`flags`: each with its reasons", body = serde_json::Value),
        (status = 304, description = "the caller has the flag called `stale` already"),
        (status = 400, description = "a condition cannot be read", body = schema::Refusal),
        (status = 404, description = "no such flag", body = schema::Refusal),
        (status = 409, description = "the flag called `stale` is damaged", body = schema::Refusal),
        (status = 412, description = "the flag called `stale` is not as the conditions expect", body = schema::Refusal),
        (status = 422, description = "a parameter is wrong", body = schema::Refusal),
    )
)]
pub(super) async fn stale(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    key: Key,
    conditions: Conditions,
) -> Result<Response, Refusal> {
    let query = query.unwrap_or_default();
    let snapshot = admin.cell.load();
    let asks_for_report = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "report");
    if !asks_for_report && snapshot.flag(&key.0).is_some() {
        return get::get(State(admin), key, conditions).await;
    }
    let days = days(&query)?;
    let (now, long) = (clock::now(), SignedDuration::from_hours(24 * i64::from(days)));
    let report = admin.usage.looked_at(&snapshot, now, |usage| {
        let flags = snapshot.stale(usage, long, now);
        json!({ "as_of": now, "days": days, "evaluations_since": usage.began(), "flags": flags })
    });
    Ok(Json(report).into_response())
}

fn days(query: &str) -> Result<u32, Refusal> {
    let mut given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "days");
    let Some((_, days)) = given.next() else { return Ok(DAYS) };
    let days = days.parse().ok().filter(|days| *days <= MOST_DAYS);
    days.ok_or_else(|| Refusal::Invalid(vec![Issue::of_query("days", "expected a number of days from 0 to 3650")]))
}
