//! The steps of one deployment.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Conductor,
    fail::{self, Point},
    news::sentence,
    observe::{Memory, Read},
};
use crate::{
    clock,
    delivery::{
        deployment::Deployment,
        judge::Judge,
        plan::{self, SetFlag, StageState, State, Status},
    },
    model::{DeploymentDocument, DocumentKey, Fault, FlagDocument},
    store::{Expected, Lease, StoreError, Stored, Write},
};

/// The name under which the conductor writes.
pub(super) const ACTOR: &str = "conductor";

/// The most steps in a row; then others have their turn.
const MOST_IN_A_ROW: usize = 64;

/// Words that changed are stored this often soon after a step, and this seldom long after it: each time is an entry of the
/// audit log, which has to have room for others.
const WORDS_EVERY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));

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
                    self.parts.refused.inc();
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
        let Some((document, status)) = self.status(&stored) else { return Ok(Some(End::Settled)) };
        if lease.is_none() && status.state != State::RollingBack {
            return Ok(Some(End::Settled));
        }
        // Who has no lease leaves that to the one who has it, so that two do not tell.
        if lease.is_some() {
            self.tell_news(&document, &status);
        }
        if !status.state.is_live() {
            return self.strike(&stored, &document, &status, lease).await;
        }
        let Some(deployment) = self.deployment(&document) else { return Ok(Some(End::Settled)) };
        // The stages of others are looked at before the first of this one begins, and not while another begins.
        let has_begun = status.stages.iter().any(|stage| stage.order.is_some());
        let beginning = Some(beginning).filter(|_| !has_begun);
        let flags = self.flags(&deployment, &status).await?;
        let read = Read { id, deployment: &deployment, status: &status, flags: &flags };
        let seen = self.observe(&read, has_begun).await?;
        let plan::Step { status: mut next, commands } = plan::step(&deployment, &status, &seen);
        self.strike_news(id, &mut next);
        self.enter_news(&document, &status, &mut next, (stored.revision, seen.now));
        let mut did = false;
        if self.is_worth_storing(id, &status, &next) {
            fail::reach(Point::BeforeStatus);
            match self.store_status(&stored, &document, &next, lease).await {
                Ok(()) => did = true,
                Err(StoreError::Conflict { .. }) => return Ok(Some(End::Overtaken)),
                Err(error) => return Err(error),
            }
            fail::reach(Point::AfterStatus);
            self.tell(id, &status, &next);
            if lease.is_some() {
                self.tell_news(&document, &next);
            }
            fail::reach(Point::AfterTelling);
        }
        drop(beginning);
        for (position, command) in commands.iter().enumerate() {
            fail::reach(if position == 0 { Point::BeforeFlag } else { Point::BetweenFlags });
            match self.set(command, &flags, lease).await {
                Ok(()) => did = true,
                Err(StoreError::Conflict { .. }) => return Ok(Some(End::Overtaken)),
                Err(error) => return Err(error),
            }
        }
        if !commands.is_empty() {
            fail::reach(Point::AfterFlags);
        }
        Ok((!did).then_some(End::Settled))
    }

    /// One that has ended: only what was told is taken out.
    async fn strike(
        &self,
        stored: &Stored,
        document: &DeploymentDocument,
        status: &Status,
        lease: Option<&Lease>,
    ) -> Result<Option<End>, StoreError> {
        let mut next = status.clone();
        self.strike_news(document.id(), &mut next);
        if next != *status {
            match self.store_status(stored, document, &next, lease).await {
                Ok(()) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(End::Settled))
    }

    /// A document and how far it is; nothing if that cannot be read.
    fn status(&self, stored: &Stored) -> Option<(DeploymentDocument, Status)> {
        let read = || {
            let document = DeploymentDocument::parse(&stored.text).map_err(|fault| fault.message)?;
            let status = Status::read(document.fields().get("status"))?;
            Ok((document, status))
        };
        match read() {
            Ok(found) => Some(found),
            Err(why) => self.or_complain(&stored.document.key, Err(why)),
        }
    }

    /// What a document delivers; nothing if this gateway cannot run it.
    fn deployment(&self, document: &DeploymentDocument) -> Option<Deployment> {
        let first = |faults: Vec<Fault>| {
            faults.first().map_or(String::new(), |fault| format!("{}: {}", fault.pointer, fault.message))
        };
        self.or_complain(document.id(), Deployment::read(document, &self.parts.world.now().routes).map_err(first))
    }

    /// Logs why a deployment cannot be run here, once.
    fn or_complain<T>(&self, id: &str, found: Result<T, String>) -> Option<T> {
        let mut memory = self.memory.lock().expect("nothing panics while it holds this");
        let known = &mut memory.entry(id.to_owned()).or_default().complaint;
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
        let Memory { told_at, changed_at, .. } = memory.entry(id.to_owned()).or_default();
        let is_change = without_words(before) != without_words(after);
        let since = |at: &Option<Instant>| at.map(|at| now.duration_since(at));
        let is_recent = since(told_at).is_some_and(|told| told < words_every(since(changed_at).unwrap_or_default()));
        if is_recent && !is_change && starts(before) == starts(after) {
            return false;
        }
        *told_at = Some(now);
        if is_change || changed_at.is_none() {
            *changed_at = Some(now);
        }
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

    /// Logs what changed, and counts rollbacks.
    fn tell(&self, id: &str, before: &Status, after: &Status) {
        for stage in &after.stages {
            let known = before.stages.iter().find(|known| known.name == stage.name);
            let is_new = known.is_none_or(|known| known.state != stage.state || known.step != stage.step);
            if is_new && stage.state != StageState::Pending {
                let step = format!("{}, step {} ({})", stage.state.as_str(), stage.step, stage.doing);
                log::info!("conductor: {id}: the stage {:?} is {step}", stage.name);
            }
        }
        if before.state != after.state {
            log::info!("conductor: {}", sentence(id, after));
        }
        if let Some(abort) = after.abort.as_ref().filter(|_| before.abort.is_none()) {
            let reason = if abort.stage.is_some() { "failed" } else { "max_duration" };
            self.parts.rollbacks.count(abort.stage.as_deref().unwrap_or("-"), reason);
        }
    }
}

/// How often words are stored so long after the last step.
fn words_every(after: Duration) -> Duration {
    (after / 10).clamp(WORDS_EVERY.0, WORDS_EVERY.1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_leave_room_in_the_audit_log() {
        let entries = |hours: u64| {
            let (mut at, mut entries) = (Duration::ZERO, 0);
            while at < Duration::from_secs(hours * 3600) {
                at += words_every(at);
                entries += 1;
            }
            entries
        };
        assert_eq!(words_every(Duration::from_secs(20)), Duration::from_secs(5));
        assert!(entries(1) < 80, "{}", entries(1));
        assert!(entries(48) < 1_500, "{}", entries(48));
    }
}
