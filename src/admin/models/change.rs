//! Changing a model: read, decide, compare and set, and all of it again while other writers are faster.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
    response::{AppendHeaders, IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{
    admin::{
        Admin,
        access::Caller,
        acknowledge::WaitFor,
        conditional::{Conditions, Tag},
        refusal::Refusal,
    },
    clock,
    model::{DocumentKey, ModelDocument},
    store::{Expected, StoreError, Stored, Write, Written},
};

/// How often a change is tried again when other writers are faster.
const TRIES: usize = 20;

/// How long a write waits until this gateway serves it.
const SERVED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// The model that a request's path names.
#[derive(Debug)]
pub(super) struct ModelId(pub(super) String);

/// What a request for a change says beside its body.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) caller: Caller,
    pub(super) id: String,
    pub(super) conditions: Conditions,
    pub(super) wait: WaitFor,
}

/// What is to become of a model.
#[derive(Debug)]
pub(super) enum Plan {
    /// It becomes this.
    Put(ModelDocument),
    /// It goes.
    Remove,
}

impl<S: Send + Sync> FromRequestParts<S> for ModelId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let unread = || Refusal::Status(StatusCode::BAD_REQUEST, "the model's id in the path is not UTF-8".to_owned());
        let named = RawPathParams::from_request_parts(parts, state).await.map_err(|_| unread())?;
        let id = named.iter().find(|(name, _)| *name == "id").map(|(_, id)| id.to_owned());
        Ok(Self(id.unwrap_or_default()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Self::read(caller, parts, state).await.map_err(IntoResponse::into_response)
    }
}

impl Asked {
    async fn read<S: Send + Sync>(caller: Caller, parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self {
            caller,
            id: ModelId::from_request_parts(parts, state).await?.0,
            conditions: Conditions::from_request_parts(parts, state).await?,
            wait: WaitFor::from_request_parts(parts, state).await?,
        })
    }
}

impl Admin {
    /// Makes of a model what `decide` says of what is stored, and answers `{success, id, version}`: 201 when it is new.
    pub(super) async fn change_model(
        &self,
        asked: Asked,
        decide: impl Fn(Option<&Stored>) -> Result<Plan, Refusal> + Send,
    ) -> Result<Response, Refusal> {
        for _ in 0..TRIES {
            let stored = self.documents()?.get(&DocumentKey::model(&*asked.id)).await?;
            asked.conditions.check(stored.as_ref().map(Tag::of).as_ref())?;
            let text = match decide(stored.as_ref())? {
                Plan::Put(document) => Some(Arc::from(document.to_text())),
                Plan::Remove => None,
            };
            let expected = expected(stored.as_ref());
            match self.write_model(&asked.caller, &asked.id, text.clone(), expected).await {
                Ok(written) => {
                    let mut body: Map<String, Value> = Map::new();
                    body.insert("success".to_owned(), true.into());
                    body.insert("id".to_owned(), json!(asked.id));
                    if text.is_some() {
                        body.insert("version".to_owned(), written.revision.into());
                    }
                    let (mut status, answer) = self.acknowledged(Some(&written.world), asked.wait, body).await;
                    if stored.is_none() && status == StatusCode::OK {
                        status = StatusCode::CREATED;
                    }
                    let tag = text.map(|text| AppendHeaders([Tag::new(written.revision, &text).header()]));
                    return Ok((status, tag, answer).into_response());
                }
                // Another writer was faster: what it wrote is looked at instead.
                Err(StoreError::Conflict { .. }) => tokio::task::yield_now().await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::conflict("others change this model all the time; try again"))
    }

    /// Writes a model, or removes it, and waits a moment until this gateway serves the change.
    pub(super) async fn write_model(
        &self,
        caller: &Caller,
        id: &str,
        text: Option<Arc<str>>,
        expected: Expected,
    ) -> Result<Written, StoreError> {
        let document = DocumentKey::model(id);
        let write = Write { document, text, expected, actor: caller.name.to_string(), at: clock::now(), fence: None };
        let written = self.documents()?.write(write).await?;
        if !self.sync.applied(&written.world, SERVED_WITHIN).await {
            log::warn!("admin: the change of model {id:?} is stored but not yet served after {SERVED_WITHIN:?}");
        }
        Ok(written)
    }
}

/// That a document still is as it was read.
pub(super) fn expected(stored: Option<&Stored>) -> Expected {
    stored.map_or(Expected::Absent, |stored| Expected::Revision(stored.revision))
}
