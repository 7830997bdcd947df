//! Changing a document: read, decide, compare and set, and all of it again while other writers are faster.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
    response::{AppendHeaders, IntoResponse, Response},
};
use serde_json::{Map, Value};
use tokio::time::sleep;
use uuid::Uuid;

use super::{Document, check_size};
use crate::{
    admin::{
        Admin,
        access::Caller,
        acknowledge::WaitFor,
        conditional::{Conditions, Tag},
        dry_run::{self, DryRun},
        refusal::Refusal,
    },
    clock,
    store::{Expected, StoreError, Stored},
};

/// For how long a change is tried again when other writers are faster.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest pause before another try doubles from the first to the last; each pause is drawn anew, so that writers
/// who met once do not meet again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// The document that a request's path names. `/flags/evaluate` and `/flags/stale` name one as well, where they mean
/// nothing else.
#[derive(Debug)]
pub(in crate::admin) struct Key(pub(in crate::admin) String);

/// What a request for a change says beside its body.
#[derive(Debug)]
pub(in crate::admin) struct Ask {
    pub(in crate::admin) caller: Caller,
    pub(in crate::admin) key: String,
    pub(in crate::admin) conditions: Conditions,
    pub(in crate::admin) dry_run: DryRun,
    pub(in crate::admin) wait: WaitFor,
}

/// What is to become of a document.
#[derive(Debug)]
pub(in crate::admin) enum Plan<D> {
    /// It is as it should be.
    Keep,
    /// It becomes this.
    Put(D),
    /// It goes.
    Remove,
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let unread = || Refusal::Status(StatusCode::BAD_REQUEST, "the key in the path is not UTF-8".to_owned());
        let named = RawPathParams::from_request_parts(parts, state).await.map_err(|_| unread())?;
        let key = named.iter().find(|(name, _)| matches!(*name, "key" | "id")).map(|(_, key)| key.to_owned());
        let last = || parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Self(key.unwrap_or_else(last)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Ask {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Self::read(caller, parts, state).await.map_err(IntoResponse::into_response)
    }
}

impl Ask {
    async fn read<S: Send + Sync>(caller: Caller, parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self {
            caller,
            key: Key::from_request_parts(parts, state).await?.0,
            conditions: Conditions::from_request_parts(parts, state).await?,
            dry_run: DryRun::from_request_parts(parts, state).await?,
            wait: WaitFor::from_request_parts(parts, state).await?,
        })
    }
}

impl Admin {
    /// Makes of a document what `decide` says of what is stored, and answers with `body`. Without conditions no change of
    /// another writer is lost, as `decide` is asked anew about what that one wrote; with conditions it ends in 412.
    pub(in crate::admin) async fn change<D: Document>(
        &self,
        ask: Ask,
        body: Map<String, Value>,
        decide: impl Fn(Option<&Stored>) -> Result<Plan<D>, Refusal> + Send,
    ) -> Result<Response, Refusal> {
        let began = clock::monotonic();
        let mut longest = PAUSES.0;
        loop {
            let stored = self.documents()?.get(&D::key(&ask.key)).await?;
            let current = stored.as_ref().map(Tag::of);
            if stored.is_some() {
                ask.conditions.check(current.as_ref())?;
            }
            let plan = decide(stored.as_ref())?;
            ask.conditions.check(current.as_ref())?;
            if let Plan::Put(document) = &plan {
                check_size(document)?;
            }
            if ask.dry_run.0 {
                return Ok(tried(&ask.key, stored.as_ref(), &plan, current.as_ref()));
            }
            let (document, text) = match &plan {
                Plan::Keep => {
                    let served = self.cell.load().revision().cloned();
                    let answer = self.acknowledged(served.as_ref(), ask.wait, body).await;
                    return Ok((current.map(|tag| AppendHeaders([tag.header()])), answer).into_response());
                }
                Plan::Put(document) => (Some(document), document.to_text()),
                Plan::Remove => (None, String::new()),
            };
            let expected = stored.as_ref().map_or(Expected::Absent, |stored| Expected::Revision(stored.revision));
            match self.write(&ask.caller, &ask.key, document, expected).await {
                Ok(written) => {
                    let (mut status, answer) = self.acknowledged(Some(&written.world), ask.wait, body).await;
                    if stored.is_none() && status == StatusCode::OK {
                        status = StatusCode::CREATED;
                    }
                    let tag = document.map(|_| AppendHeaders([Tag::new(written.revision, &text).header()]));
                    return Ok((status, tag, answer).into_response());
                }
                // Another writer was faster: what it wrote is looked at instead.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if clock::monotonic().duration_since(began) > PATIENCE {
                return Err(Refusal::conflict(format!("others change this {} all the time; try again", D::WORD)));
            }
            sleep(drawn(longest)).await;
            longest = (longest * 2).min(PAUSES.1);
        }
    }
}

/// The answer to a change that is only tried.
fn tried<D: Document>(key: &str, stored: Option<&Stored>, plan: &Plan<D>, current: Option<&Tag>) -> Response {
    let before = stored.and_then(|stored| D::parse(&stored.text).ok());
    let (action, after) = match plan {
        Plan::Keep => ("none", before.clone()),
        Plan::Put(document) if stored.is_none() => ("created", Some(document.clone())),
        Plan::Put(document) => ("updated", Some(document.clone())),
        Plan::Remove => ("deleted", None),
    };
    dry_run::answer(key, action, before.as_ref(), after.as_ref(), current)
}

/// A random time below `longest`.
fn drawn(longest: Duration) -> Duration {
    let share = Uuid::new_v4().as_u128() % 1000;
    longest * u32::try_from(share).unwrap_or_default() / 1000
}
