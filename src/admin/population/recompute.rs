//! `/segments/{id}/recompute`: who is in a segment, worked out anew for every user.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{PAGE, find, of_stored};
use crate::{
    admin::{
        Admin,
        access::Caller,
        body::Body,
        openapi as schema,
        paging::{cursor, place},
        refusal::{Issue, Refusal},
    },
    clock,
    store::{Cursor, Moved, StoreError},
    tracking,
};

/// How many profiles are worked out each second, unless said otherwise.
const RATE: u64 = 10_000;

/// The most that can be asked for.
const FASTEST: u64 = 1_000_000;

/// Progress is told on the live feed at most this often.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// The runs of this gateway, the last one of each segment. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Recomputes(Arc<Mutex<BTreeMap<String, Run>>>);

#[derive(Clone, Debug)]
struct Run {
    progress: Progress,
    stop: CancellationToken,
}

/// How far a run is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Progress {
    segment_id: String,
    state: RunState,
    /// Profiles that were looked at.
    done: u64,
    /// How many profiles there were when it began; not always counted exactly.
    total: u64,
    /// How many of those are members.
    members: u64,
    entered: u64,
    left: u64,
    started_at: jiff::Timestamp,
    /// Goes on from here, with `POST`, when a run was stopped or failed.
    resume: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunState {
    Running,
    Finished,
    Stopped,
    Failed,
}

/// What a run that ended early had done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Resumed {
    done: u64,
    members: u64,
    after: Option<String>,
}

impl Resumed {
    fn token(&self) -> Option<String> {
        let after = self.after.as_ref()?;
        Some(cursor(&format!("{}:{}:{after}", self.done, self.members)))
    }

    fn of_token(token: &str) -> Option<Self> {
        let told = place(token)?;
        let mut parts = told.splitn(3, ':');
        let (done, members) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { done, members, after: Some(parts.next()?.to_owned()) })
    }
}

impl Recomputes {
    fn runs(&self) -> MutexGuard<'_, BTreeMap<String, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run, unless one is under way.
    fn begin(&self, progress: Progress) -> Option<CancellationToken> {
        let mut runs = self.runs();
        let is_running = |run: &Run| run.progress.state == RunState::Running;
        if runs.get(&progress.segment_id).is_some_and(is_running) {
            return None;
        }
        let stop = CancellationToken::new();
        runs.insert(progress.segment_id.clone(), Run { progress, stop: stop.clone() });
        Some(stop)
    }

    fn get(&self, id: &str) -> Option<Run> {
        self.runs().get(id).cloned()
    }

    fn note(&self, progress: &Progress) {
        if let Some(run) = self.runs().get_mut(&progress.segment_id) {
            run.progress = progress.clone();
        }
    }
}

/// Work out anew for every user whether they are in a segment
///
/// Goes through all stored profiles, at most `rate` a second, keeps the segment in their `segment_memberships` or takes it out,
/// and tells who entered and left. Flags never need this: they decide segments themselves. Progress is told here (`GET`), and on
/// the live feed as `recompute_progress` of the kind `segments`. At the end the segment's `estimated_size` is the number of its
/// members. A run that was stopped, or ended early, goes on from where it was with its `resume`.
#[utoipa::path(
    post, path = "/segments/{id}/recompute", tag = "segments", security(("token" = ["editor"])),
    params(("id" = String, Path, description = "the segment's id")),
    request_body(content = schema::RecomputeRequest, example = json!({ "rate": 10000 })),
    responses(
        (status = 202, description = "it begins", body = schema::Recompute),
        (status = 404, description = "no such segment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "it is under way on this gateway", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn start(
    State(admin): State<Admin>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Progress>), Refusal> {
    let (rate, resumed) = asked(if body.0.is_none() { Map::new() } else { body.object()? })?;
    find(&admin.cell.load(), &id)?;
    let total = admin.profile_store.count_profiles().await?.number;
    let Resumed { done, members, .. } = resumed;
    let progress = Progress {
        segment_id: id.clone(),
        state: RunState::Running,
        done,
        total,
        members,
        entered: 0,
        left: 0,
        started_at: clock::now(),
        resume: resumed.token(),
        error: None,
    };
    let Some(stop) = admin.recomputes.begin(progress.clone()) else {
        return Err(Refusal::conflict(format!("the segment {id:?} is being worked out already")));
    };
    let run = Work { admin, caller, rate, stop, progress: progress.clone(), after: resumed.after.map(Cursor::new) };
    tokio::spawn(run.run());
    Ok((StatusCode::ACCEPTED, Json(progress)))
}

/// How far a segment is worked out
///
/// Tells of the last run on this gateway.
#[utoipa::path(
    get, path = "/segments/{id}/recompute", tag = "segments", security(("token" = ["viewer"])),
    params(("id" = String, Path, description = "the segment's id")),
    responses(
        (status = 200, description = "the last run", body = schema::Recompute),
        (status = 404, description = "there was none on this gateway", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn progress(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<Progress>, Refusal> {
    admin.recomputes.get(&id).map(|run| Json(run.progress)).ok_or_else(|| none(&id))
}

/// Stop working out a segment
///
/// What was done stays; `resume` of the answer to `GET` goes on from there.
#[utoipa::path(
    delete, path = "/segments/{id}/recompute", tag = "segments", security(("token" = ["editor"])),
    params(("id" = String, Path, description = "the segment's id")),
    responses(
        (status = 202, description = "it stops after the profiles that it is at", body = schema::Recompute),
        (status = 404, description = "there was none on this gateway", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stop(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Progress>), Refusal> {
    let run = admin.recomputes.get(&id).ok_or_else(|| none(&id))?;
    run.stop.cancel();
    Ok((StatusCode::ACCEPTED, Json(run.progress)))
}

fn none(id: &str) -> Refusal {
    Refusal::not_found(format!("the segment {id:?} was not worked out on this gateway"))
}

fn asked(mut body: Map<String, Value>) -> Result<(u64, Resumed), Refusal> {
    let mut issues = Vec::new();
    let rate = body.shift_remove("rate").unwrap_or(RATE.into());
    let rate = rate.as_u64().filter(|rate| (1..=FASTEST).contains(rate)).unwrap_or_else(|| {
        issues.push(Issue::of_body("expected a whole number from 1 to 1000000", "value_error").at("rate"));
        RATE
    });
    let resumed = match body.shift_remove("resume").filter(|token| !token.is_null()) {
        None => Resumed::default(),
        Some(token) => token.as_str().and_then(Resumed::of_token).unwrap_or_else(|| {
            issues.push(Issue::of_body("expected `resume` of an answer", "value_error").at("resume"));
            Resumed::default()
        }),
    };
    issues.extend(body.keys().map(|name| Issue::of_body("unknown field", "value_error").at(name.as_str())));
    Refusal::of_issues(issues)?;
    Ok((rate, resumed))
}

/// A run under way.
struct Work {
    admin: Admin,
    caller: Caller,
    rate: u64,
    stop: CancellationToken,
    progress: Progress,
    after: Option<Cursor>,
}

impl Work {
    async fn run(mut self) {
        let ended = self.pages().await;
        self.progress.state = match ended {
            Ok(state) => state,
            Err(error) => {
                log::warn!("segments: {:?} was not worked out to the end: {error}", self.progress.segment_id);
                self.progress.error = Some(error);
                RunState::Failed
            }
        };
        self.tell();
    }

    async fn pages(&mut self) -> Result<RunState, String> {
        let (began, mut told) = (Instant::now(), Instant::now());
        let done_before = self.progress.done;
        loop {
            if self.stop.is_cancelled() {
                return Ok(RunState::Stopped);
            }
            let next = self.page().await.map_err(|error| error.to_string())?.ok_or("the segment is gone")?;
            let Some(next) = next else { break };
            self.after = Some(next);
            self.progress.resume = Resumed {
                done: self.progress.done,
                members: self.progress.members,
                after: self.after.as_ref().map(|after| after.as_str().to_owned()),
            }
            .token();
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                self.tell();
            } else {
                self.admin.recomputes.note(&self.progress);
            }
            let due = Duration::from_micros((self.progress.done - done_before) * 1_000_000 / self.rate);
            tokio::select! {
                () = sleep_until(began + due) => {}
                () = self.stop.cancelled() => {}
            }
        }
        self.progress.resume = None;
        let Progress { segment_id, members, .. } = &self.progress;
        let noted = self.admin.note_size(&self.caller, segment_id, *members).await;
        noted.map_err(|refusal| format!("its size was not written: {refusal:?}"))?;
        Ok(RunState::Finished)
    }

    /// Works out some profiles; `None`: the segment is gone; `Some(None)`: they were the last.
    async fn page(&mut self) -> Result<Option<Option<Cursor>>, StoreError> {
        let store = &self.admin.profile_store;
        let (page, next) = store.scan(self.after.as_ref(), PAGE).await?;
        let snapshot = self.admin.cell.load();
        let id = &self.progress.segment_id;
        let Some(segment) = snapshot.segment(id) else { return Ok(None) };
        let now = clock::now();
        let mut moves: Vec<Moved> = Vec::new();
        for (user_id, stored) in page {
            let is_member = of_stored(&user_id, &stored, now, |context| snapshot.evaluator(context).is_member(segment));
            self.progress.done += 1;
            self.progress.members += u64::from(is_member);
            let before = &stored.segment_memberships;
            let mut segments: Vec<String> = before.iter().filter(|known| *known != id).cloned().collect();
            if is_member {
                segments.push(id.clone());
                segments.sort_unstable();
            }
            moves.extend(tracking::moved(&user_id, before, segments));
        }
        self.progress.entered += moves.iter().map(|moved| moved.entered.len() as u64).sum::<u64>();
        self.progress.left += moves.iter().map(|moved| moved.left.len() as u64).sum::<u64>();
        tracking::keep(&**store, &moves, &self.admin.moves).await?;
        Ok(Some(next))
    }

    fn tell(&self) {
        self.admin.recomputes.note(&self.progress);
        self.admin.live.tell_recompute(&self.progress.segment_id, json!(self.progress));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_from_its_token() {
        let resumed = Resumed { done: 7, members: 3, after: Some("a:b:1".to_owned()) };
        assert_eq!(Resumed::of_token(&resumed.token().unwrap()), Some(resumed));
        assert_eq!(Resumed::default().token(), None);
        for wrong in ["", "x", "61", &cursor("1:2"), &cursor("a:2:c")] {
            assert_eq!(Resumed::of_token(wrong), None, "{wrong}");
        }
        let wrong = json!({ "rate": 0, "resume": 1, "x": 1 }).as_object().unwrap().clone();
        assert!(matches!(asked(wrong), Err(Refusal::Invalid(issues)) if issues.len() == 3));
    }
}
