//! Writes that answer only once other gateways serve them.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::{
    Admin,
    refusal::{Issue, Refusal},
};
use crate::{clock, model::WorldRevision, store::SeenGateway};

/// How long a write waits unless the request says otherwise.
const WITHIN: Duration = Duration::from_secs(2);

/// The longest wait that may be asked for, in seconds.
const LONGEST: f64 = 25.0;

/// The pauses between looks at the gateways double from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(20));

/// An answer to a write: 200, or 202 when not all who were waited for serve it yet.
pub(super) type Answer = (StatusCode, Json<Value>);

/// Whom a write waits for: `?wait=all` or `?wait=3`, and `&timeout=2.5` for how many seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WaitFor {
    asked: Option<Wait>,
    /// For who did not ask: how long it would be, and since when.
    all: Wait,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Wait {
    /// How many gateways; `None`: all that are live.
    gateways: Option<usize>,
    within: Duration,
    began: Instant,
}

impl<S: Sync> FromRequestParts<S> for WaitFor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl WaitFor {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let (mut wait, mut within, mut issues) = (None, WITHIN, Vec::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "wait" if value == "all" => wait = Some(None),
                "wait" => match value.parse() {
                    Ok(gateways) => wait = Some(Some(gateways)),
                    Err(_) => issues.push(Issue::of_query("wait", "expected \"all\" or a number of gateways")),
                },
                "timeout" => match value.parse().ok().filter(|seconds| (0.0..=LONGEST).contains(seconds)) {
                    Some(seconds) => within = Duration::from_secs_f64(seconds),
                    None => issues.push(Issue::of_query("timeout", "expected seconds from 0 to 25")),
                },
                _ => {}
            }
        }
        Refusal::of_issues(issues)?;
        let all = Wait { gateways: None, within, began: clock::monotonic() };
        Ok(Self { asked: wait.map(|gateways| Wait { gateways, ..all }), all })
    }

    /// The same for a write that waits for all unless it is told otherwise.
    pub(super) fn or_all(self) -> Self {
        Self { asked: self.asked.or(Some(self.all)), ..self }
    }
}

impl Admin {
    /// Answers to a write that led to `revision`, once those who are waited for serve it.
    pub(super) async fn acknowledged(
        &self,
        revision: Option<&WorldRevision>,
        wait: WaitFor,
        mut body: Map<String, Value>,
    ) -> Answer {
        let (Some(revision), WaitFor { asked: Some(wait), .. }) = (revision, wait) else {
            return (StatusCode::OK, Json(body.into()));
        };
        let mut pause = PAUSES.0;
        let (mut acknowledged, mut of) = (0, 0);
        loop {
            let seen = self.store.gateways().await;
            if let Ok(seen) = &seen {
                (acknowledged, of) = count(seen, revision);
            }
            let elapsed = clock::monotonic().duration_since(wait.began);
            let all_do = of > 0 && acknowledged >= wait.gateways.unwrap_or(of);
            if all_do || elapsed >= wait.within {
                // The write is done: only who serves it cannot be told.
                if let Err(error) = seen {
                    log::warn!("admin: failed to ask for the gateways: {error}");
                }
                body.insert("revision".to_owned(), revision.number.into());
                body.insert("acknowledged".to_owned(), acknowledged.into());
                body.insert("of".to_owned(), of.into());
                body.insert("ms".to_owned(), json!((elapsed.as_secs_f64() * 100_000.0).round() / 100.0));
                let status = if all_do { StatusCode::OK } else { StatusCode::ACCEPTED };
                return (status, Json(body.into()));
            }
            sleep(pause.min(wait.within.saturating_sub(elapsed))).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// How many live gateways serve a revision, and how many there are.
fn count(seen: &[SeenGateway], revision: &WorldRevision) -> (usize, usize) {
    let live = seen.iter().filter(|seen| seen.is_live());
    let reached = live.clone().filter_map(|seen| seen.gateway.applied.as_ref()).filter(|applied| applied.has(revision));
    (reached.count(), live.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_wait_for() {
        let parsed = |query: &str| match WaitFor::parse(query) {
            Ok(WaitFor { asked, .. }) => Some(asked.map(|wait| (wait.gateways, wait.within.as_millis()))),
            Err(_) => None,
        };
        for (query, expected) in [
            ("", Some(None)),
            ("timeout=1", Some(None)),
            ("wait=all", Some(Some((None, 2_000)))),
            ("wait=3&timeout=0.5", Some(Some((Some(3), 500)))),
            ("wait=some", None),
            ("wait=-1", None),
            ("wait=all&timeout=1h", None),
            ("wait=all&timeout=26", None),
            ("wait=all&timeout=NaN", None),
        ] {
            assert_eq!(parsed(query), expected, "{query}");
        }
    }
}
