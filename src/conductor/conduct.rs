//! The steps of one deployment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;

use super::{Conductor, observe::Read};
use crate::{
    clock,
    delivery::{
        deployment::Deployment,
        judge::Judge,
        plan::{self, SetFlag, StageState, State, Status},
    },
    model::{DeploymentDocument, DocumentKey, FlagDocument},
    outbound::notify::Notice,
    store::{Expected, Lease, StoreError, Stored, Write},
};

/// The name under which the conductor writes.
pub(super) const ACTOR: &str = "conductor";

/// The most steps in a row; then others have their turn.
const MOST_IN_A_ROW: usize = 64;

/// Words that changed are stored this often.
const WORDS_EVERY: Duration = Duration::from_secs(5);

/// Why steps end for now.
#[derive(Debug)]
enum End {
    /// There is nothing to do before something changes.
    Settled,
    /// Somebody else wrote, or the lease ended: what there is is looked at anew.
    Overtaken,
}

impl Conductor {
    /// Does the steps that can be done now. Without a lease only a rollback goes on.
    pub(super) async fn conduct(&self, id: &str, lease: Option<&Lease>) {
        for _ in 0..MOST_IN_A_ROW {
            let beginning = self.beginning.lock().await;
            match self.one(id, lease, beginning).await {
                Ok(None) => {}
                Ok(Some(End::Settled)) => return,
                Ok(Some(End::Overtaken)) if lease.is_some() => return,
                Ok(Some(End::Overtaken)) => {}
                Err(error @ StoreError::Fenced { .. }) => {
                    log::warn!("conductor: a step of {id:?} was refused: {error}");
                    return;
                }
                Err(error) => {
                    log::warn!("conductor: the deployment {id:?} waits: {error}");
                    return;
                }
            }
        }
    }

    /// One step; `None`: something was done, so the next one may follow.
    async fn one(
        &self,
        id: &str,
        lease: Option<&Lease>,
        beginning: tokio::sync::MutexGuard<'_, ()>,
    ) -> Result<Option<End>, StoreError> {
        let key = DocumentKey::deployment(id);
        let Some(stored) = self.parts.store.get(&key).await? else { return Ok(Some(End::Settled)) };
        let Some((document, deployment, status)) = self.read(&stored) else { return Ok(Some(End::Settled)) };
        if !status.state.is_live() || (lease.is_none() && status.state != State::RollingBack) {
            return Ok(Some(End::Settled));
        }
        // The stages of others are looked at before the first of this one begins, and not while another begins.
        let has_begun = status.stages.iter().any(|stage| stage.order.is_some());
        let beginning = Some(beginning).filter(|_| !has_begun);
        let flags = self.flags(&deployment, &status).await?;
        let read = Read { id, deployment: &deployment, status: &status, flags: &flags };
        let seen = self.observe(&read, has_begun).await?;
        let plan::Step { status: next, commands } = plan::step(&deployment, &status, &seen);
        let mut did = false;
        if self.is_worth_storing(id, &status, &next) {
            match self.store_status(&stored, &document, &next, lease).await {
                Ok(()) => did = true,
                Err(StoreError::Conflict { .. }) => return Ok(Some(End::Overtaken)),
                Err(error) => return Err(error),
            }
            self.tell(&deployment, &status, &next, stored.revision + 1);
        }
        drop(beginning);
        for command in &commands {
            match self.set(command, &flags, lease).await {
                Ok(()) => did = true,
                Err(StoreError::Conflict { .. }) => return Ok(Some(End::Overtaken)),
                Err(error) => return Err(error),
            }
        }
        Ok((!did).then_some(End::Settled))
    }

    /// The deployment and how far it is; nothing if this gateway cannot run it, which is logged once.
    fn read(&self, stored: &Stored) -> Option<(DeploymentDocument, Deployment, Status)> {
        let read = || {
            let document = DeploymentDocument::parse(&stored.text).map_err(|fault| fault.message)?;
            let status = Status::read(document.fields().get("status"))?;
            let deployment = Deployment::read(&document, &self.parts.world.now().routes).map_err(|faults| {
                faults.first().map_or(String::new(), |fault| format!("{}: {}", fault.pointer, fault.message))
            })?;
            Ok((document, deployment, status))
        };
        let found: Result<_, String> = read();
        let id = &stored.document.key;
        let mut memory = self.memory.lock().expect("nothing panics while it holds this");
        let known = &mut memory.entry(id.to_string()).or_default().complaint;
        let complaint = found.as_ref().err().cloned();
        if let Some(why) = complaint.as_ref().filter(|_| complaint != *known) {
            log::warn!("conductor: the deployment {id:?} cannot be run by this gateway: {why}");
        }
        *known = complaint;
        found.ok()
    }

    /// The flags that it changes or has changed, as they are stored.
    async fn flags(&self, deployment: &Deployment, status: &Status) -> Result<BTreeMap<Arc<str>, Stored>, StoreError> {
        let mut keys: Vec<Arc<str>> = deployment.flags().chain(status.stable.keys()).cloned().collect();
        keys.sort();
        keys.dedup();
        let keys: Vec<DocumentKey> = keys.into_iter().map(DocumentKey::flag).collect();
        let read = self.parts.store.read(&keys).await?;
        Ok(read.into_iter().map(|stored| (stored.document.key.clone(), stored)).collect())
    }

    /// Whether more changed than words that were stored a moment ago.
    fn is_worth_storing(&self, id: &str, before: &Status, after: &Status) -> bool {
        if before == after {
            return false;
        }
        let now = clock::monotonic();
        let mut memory = self.memory.lock().expect("nothing panics while it holds this");
        let told_at = &mut memory.entry(id.to_owned()).or_default().told_at;
        let is_recent = told_at.is_some_and(|at| now.duration_since(at) < WORDS_EVERY);
        if is_recent && without_words(before) == without_words(after) && starts(before) == starts(after) {
            return false;
        }
        *told_at = Some(now);
        true
    }

    async fn store_status(
        &self,
        stored: &Stored,
        document: &DeploymentDocument,
        status: &Status,
        lease: Option<&Lease>,
    ) -> Result<(), StoreError> {
        let mut fields = document.fields().clone();
        fields.insert("status".to_owned(), status.to_value());
        let text = serde_json::Value::Object(fields).to_string();
        self.write(stored.document.clone(), &text, stored.revision, lease).await
    }

    /// Sets a flag, unless it was changed since it was read.
    async fn set(
        &self,
        SetFlag { flag, fields }: &SetFlag,
        flags: &BTreeMap<Arc<str>, Stored>,
        lease: Option<&Lease>,
    ) -> Result<(), StoreError> {
        let Some(stored) = flags.get(flag) else { return Ok(()) };
        let Ok(document) = FlagDocument::parse(&stored.text) else { return Ok(()) };
        let mut changed = plan::with(&document, fields);
        changed.insert("updated_at".to_owned(), format!("{:.6}", clock::now()).into());
        let text = serde_json::Value::Object(changed).to_string();
        self.write(stored.document.clone(), &text, stored.revision, lease).await
    }

    async fn write(
        &self,
        document: DocumentKey,
        text: &str,
        revision: u64,
        lease: Option<&Lease>,
    ) -> Result<(), StoreError> {
        let write = Write {
            document,
            text: Some(text.into()),
            expected: Expected::Revision(revision),
            actor: ACTOR.to_owned(),
            at: clock::now(),
            fence: lease.cloned(),
        };
        self.parts.store.write(write).await.map(drop)
    }

    /// Logs what changed, counts rollbacks, and notifies.
    fn tell(&self, deployment: &Deployment, before: &Status, after: &Status, revision: u64) {
        let id = &deployment.id;
        for stage in &after.stages {
            let known = before.stages.iter().find(|known| known.name == stage.name);
            let is_new = known.is_none_or(|known| known.state != stage.state || known.step != stage.step);
            if is_new && stage.state != StageState::Pending {
                let step = format!("{}, step {} ({})", stage.state.as_str(), stage.step, stage.doing);
                log::info!("conductor: {id}: the stage {:?} is {step}", stage.name);
            }
        }
        if before.state == after.state {
            return;
        }
        let why = after.reason.as_deref().map_or(String::new(), |why| format!(": {why}"));
        let text = format!("the deployment {id:?} is {}{why}", after.state.as_str().replace('_', " "));
        log::info!("conductor: {text}");
        if after.abort.is_some() && before.abort.is_none() {
            let stage = after.abort.as_ref().and_then(|abort| abort.stage.clone());
            let reason = if stage.is_some() { "failed" } else { "max_duration" };
            self.parts.rollbacks.count(stage.as_deref().unwrap_or("-"), reason);
        }
        let is_news = !matches!(after.state, State::Pending | State::InProgress | State::Superseded);
        if let Some(notifier) = self.parts.notifier.as_ref().filter(|_| is_news) {
            let notice = Notice {
                id: format!("deployment/{id}/{revision}"),
                kind: format!("deployment_{}", after.state.as_str()),
                subject: id.to_string(),
                time: clock::now(),
                text,
                data: json!({ "epoch": after.epoch, "version": after.version, "waiting_on": after.waiting_on }),
            };
            notifier.tell(deployment.channels.iter().map(String::as_str), &notice);
        }
    }
}

/// How often the judges of the stages began to count: when one does, it must be known from where.
fn starts(status: &Status) -> Vec<u64> {
    status.stages.iter().map(|stage| stage.judge.as_ref().map_or(0, Judge::starts)).collect()
}

/// A status without what only people read.
fn without_words(status: &Status) -> Status {
    let mut bare = status.clone();
    bare.waiting_on.clear();
    for stage in &mut bare.stages {
        (stage.judge, stage.verdict, stage.judged_at) = (None, None, None);
        if stage.state.is_running() {
            stage.reason = None;
        }
    }
    bare
}
