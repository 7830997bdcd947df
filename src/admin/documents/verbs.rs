//! What the verbs do with a document of any kind.

use std::sync::Arc;

use axum::{
    Json,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{AppendHeaders, IntoResponse, Response},
};
use serde_json::{Map, Value};

use super::{
    Document,
    change::{Ask, Plan},
    check_size, document_of, formed, success, success_of,
};
use crate::{
    admin::{
        Admin,
        access::Caller,
        acknowledge::WaitFor,
        conditional::{Conditions, Tag},
        dry_run::{self, DryRun},
        refusal::{Issue, Refusal},
    },
    clock,
    store::{Expected, StoreError, Stored},
};

/// More than any audit log has.
const ALL: usize = 1 << 20;

/// What a request for a new document says beside its body.
#[derive(Debug)]
pub(in crate::admin) struct Creation {
    caller: Caller,
    dry_run: DryRun,
    wait: WaitFor,
}

impl<S: Send + Sync> FromRequestParts<S> for Creation {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let wait = WaitFor::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let dry_run = DryRun::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self { caller, dry_run, wait })
    }
}

impl Admin {
    /// Creates a document; answers with `created`, unless it waited for others in vain.
    pub(in crate::admin) async fn create<D: Document>(
        &self,
        Creation { caller, dry_run, wait }: Creation,
        body: Map<String, Value>,
        created: StatusCode,
    ) -> Result<Response, Refusal> {
        let document: D = formed::created(body, &self.cell.load(), clock::now())?;
        check_size(&document)?;
        let name = document.name();
        let exists = || {
            let mut letters = D::WORD.chars();
            let word: String =
                letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect();
            Refusal::conflict(format!("{word} already exists"))
        };
        if dry_run.0 {
            return match self.documents()?.get(&D::key(name)).await? {
                Some(_) => Err(exists()),
                None => Ok(dry_run::answer(name, "created", None, Some(&document), None)),
            };
        }
        match self.write(&caller, name, Some(&document), Expected::Absent).await {
            Ok(written) => {
                let tag = Tag::new(written.revision, &document.to_text());
                let (status, answer) = self.acknowledged(Some(&written.world), wait, success_of::<D>(name)).await;
                let status = if status == StatusCode::OK { created } else { status };
                Ok((status, AppendHeaders([tag.header()]), answer).into_response())
            }
            Err(StoreError::Conflict { .. }) => Err(exists()),
            Err(error) => Err(error.into()),
        }
    }

    /// The whole document; 304 for who has it already.
    pub(in crate::admin) async fn show<D: Document>(
        &self,
        name: &str,
        conditions: &Conditions,
    ) -> Result<Response, Refusal> {
        let stored = self.documents()?.get(&D::key(name)).await?;
        let document: D = document_of(stored.as_ref())?;
        let Some(tag) = stored.as_ref().map(Tag::of) else { return Err(Refusal::not_found(D::NOT_FOUND)) };
        let header = AppendHeaders([tag.header()]);
        if conditions.is_known(&tag)? {
            return Ok((StatusCode::NOT_MODIFIED, header).into_response());
        }
        Ok((header, Json(document.complete())).into_response())
    }

    /// Changes the fields that the body names.
    pub(in crate::admin) async fn patch<D: Document>(
        &self,
        ask: Ask,
        body: Map<String, Value>,
    ) -> Result<Response, Refusal> {
        let decide = |stored: Option<&Stored>| {
            let stored: D = document_of(stored)?;
            let patched = formed::patched(&stored, body.clone(), &self.cell.load(), clock::now())?;
            Ok(patched.map_or(Plan::Keep, Plan::Put))
        };
        self.change(ask, success(), decide).await
    }

    /// Makes the body the whole document.
    pub(in crate::admin) async fn put<D: Document>(
        &self,
        ask: Ask,
        body: Map<String, Value>,
    ) -> Result<Response, Refusal> {
        let name = ask.key.clone();
        let decide = |stored: Option<&Stored>| {
            let before = stored.and_then(|stored| D::parse(&stored.text).ok());
            let replaced = formed::replaced(&name, before.as_ref(), body.clone(), &self.cell.load(), clock::now())?;
            Ok(replaced.map_or(Plan::Keep, Plan::Put))
        };
        self.change(ask, success_of::<D>(&name), decide).await
    }

    /// Removes a document, unless `held` says by what it is held.
    pub(in crate::admin) async fn remove<D: Document>(
        &self,
        ask: Ask,
        held: impl Fn(&str) -> Option<String> + Send + Sync,
    ) -> Result<Response, Refusal> {
        let name = ask.key.clone();
        let decide = |stored: Option<&Stored>| match held(&name) {
            Some(why) => Err(Refusal::conflict(why)),
            None => stored.map(|_| Plan::<D>::Remove).ok_or_else(|| Refusal::not_found(D::NOT_FOUND)),
        };
        self.change(ask, success(), decide).await
    }

    /// Writes a document as it was at the revision that the body names, as a new revision.
    pub(in crate::admin) async fn roll_back<D: Document>(
        &self,
        ask: Ask,
        body: Map<String, Value>,
    ) -> Result<Response, Refusal> {
        let revision = revision(body)?;
        let earlier = self.earlier::<D>(&ask.key, revision).await?;
        let earlier = D::parse(&earlier)
            .map_err(|fault| Refusal::conflict(format!("revision {revision} cannot be read: {}", fault.message)))?;
        let decide = |stored: Option<&Stored>| {
            let current = stored.and_then(|stored| D::parse(&stored.text).ok());
            let restored = formed::restored(&earlier, current.as_ref(), &self.cell.load(), clock::now())?;
            Ok(restored.map_or(Plan::Keep, Plan::Put))
        };
        let answer = success_of::<D>(&ask.key);
        self.change(ask, answer, decide).await
    }

    /// The text of a document at an earlier revision, from the audit log.
    async fn earlier<D: Document>(&self, name: &str, revision: u64) -> Result<Arc<str>, Refusal> {
        let entries = self.documents()?.history(&D::key(name), ALL).await?;
        let mut written = entries.iter().filter(|entry| entry.after.is_some());
        if let Some(text) = written.clone().find(|entry| entry.document_revision == revision) {
            return text.after.clone().ok_or_else(|| Refusal::not_found("that revision has no document"));
        }
        let known = match (written.clone().next_back(), written.next()) {
            (Some(oldest), Some(newest)) => {
                format!("known are revisions {} to {}", oldest.document_revision, newest.document_revision)
            }
            (_, _) => format!("the audit log does not know the {}", D::WORD),
        };
        Err(Refusal::not_found(format!("there is no revision {revision} of {name:?} in the audit log: {known}")))
    }
}

fn revision(mut body: Map<String, Value>) -> Result<u64, Refusal> {
    let mut issues = Vec::new();
    let revision = body.shift_remove("revision");
    match &revision {
        None => issues.push(Issue::missing().at("revision")),
        Some(revision) if revision.as_u64().is_some_and(|revision| revision > 0) => {}
        Some(_) => issues.push(Issue::of_body("expected a whole number from 1", "type_error.integer").at("revision")),
    }
    issues.extend(body.keys().map(|name| Issue::of_body("unknown field", "value_error").at(name.as_str())));
    Refusal::of_issues(issues)?;
    Ok(revision.as_ref().and_then(Value::as_u64).unwrap_or_default())
}
