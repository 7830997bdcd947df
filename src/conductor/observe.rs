//! What the machine has to know of the world.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::{Conductor, state_of};
use crate::{
    clock,
    delivery::{
        deployment::{Answered, Arms, Deployment},
        plan::{Counts, Observation, Seen, State, Status, Want, Wanted, wants},
    },
    model::{Arm, ArmCounts, DeploymentDocument, DocumentKind, FlagDocument, WorldRevision},
    store::{Running, SeenGateway, StoreError, Stored},
};

/// A gateway that gave no counts for so long is late.
const LATE: Duration = Duration::from_secs(5);

/// A sum that nobody asked for so long is let go.
const SUM_KEPT: Duration = Duration::from_secs(15 * 60);

/// What is known of a deployment between two looks. It can be lost at any time.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What was found out, by step and kind, and when.
    found: BTreeMap<(String, usize), (Instant, Found)>,
    /// What was counted since the judges of steps began, by step: from when, and when it was asked for last.
    sums: BTreeMap<String, (Timestamp, Instant, Running)>,
    /// The flags that were read, and a revision of the world that has them.
    served: Option<(Revisions, WorldRevision)>,
    /// Why it cannot be run here, as it was logged.
    pub(super) complaint: Option<String>,
    /// News that are being told, or were, by their ids.
    pub(super) telling: BTreeMap<String, JoinHandle<()>>,
    /// When words were stored last.
    pub(super) told_at: Option<Instant>,
    /// When more than words changed last.
    pub(super) changed_at: Option<Instant>,
}

/// The flags of a deployment, each with its own revision.
type Revisions = Vec<(Arc<str>, u64)>;

/// What was found out.
#[derive(Clone, Debug)]
enum Found {
    Smoke(Vec<String>),
    Look(Counts),
    Window(Counts),
    Query(Answered),
}

/// A deployment as it was read.
pub(super) struct Read<'r> {
    pub(super) id: &'r str,
    pub(super) deployment: &'r Deployment,
    pub(super) status: &'r Status,
    pub(super) flags: &'r BTreeMap<Arc<str>, Stored>,
}

impl Conductor {
    pub(super) async fn observe(&self, read: &Read<'_>, has_begun: bool) -> Result<Observation, StoreError> {
        let now = self.parts.counters.now().await?;
        let parse = |(key, stored): (&Arc<str>, &Stored)| Some((key.clone(), FlagDocument::parse(&stored.text).ok()?));
        let flags: BTreeMap<Arc<str>, FlagDocument> = read.flags.iter().filter_map(parse).collect();
        let behind = match read.status.state {
            State::RollingBack => Some(self.behind(read).await?),
            State::Pending
            | State::InProgress
            | State::Validating
            | State::Paused
            | State::Completed
            | State::Failed
            | State::RolledBack
            | State::Superseded => None,
        };
        let in_the_way = if has_begun { None } else { self.in_the_way(read).await? };
        let mut seen: BTreeMap<Arc<str>, Seen> = BTreeMap::new();
        for wanted in wants(read.deployment, read.status, &flags) {
            let entry = seen.entry(wanted.stage.clone()).or_default();
            entry.step_id.clone_from(&wanted.step_id);
            match self.found(read.id, &wanted, now).await? {
                Some(Found::Smoke(failures)) => entry.smoke = Some(failures),
                Some(Found::Look(counts)) => entry.look = Some(counts),
                Some(Found::Window(counts)) => entry.window = Some(counts),
                Some(Found::Query(answered)) => entry.query = Some(answered),
                None => {}
            }
        }
        Ok(Observation { now, flags, behind, in_the_way, seen })
    }

    /// What is wanted, found out anew when it is old.
    async fn found(&self, id: &str, wanted: &Wanted, now: Timestamp) -> Result<Option<Found>, StoreError> {
        let kind = match wanted.what {
            Want::Smoke { .. } => 0,
            Want::Look { .. } => 1,
            Want::Window { .. } => 2,
            Want::Query(_) => 3,
        };
        let place = (wanted.step_id.clone(), kind);
        let at = clock::monotonic();
        {
            let mut memory = self.memory.lock().expect("nothing panics while it holds this");
            let memory = memory.entry(id.to_owned()).or_default();
            if let Some((_, found)) =
                memory.found.get(&place).filter(|(found_at, _)| at.duration_since(*found_at) < wanted.every)
            {
                return Ok(Some(found.clone()));
            }
        }
        let found = match &wanted.what {
            Want::Smoke { upstream, smoke } => match self.parts.world.now().targets.get(upstream) {
                Some(target) => Found::Smoke(target.test(&self.client, smoke).await),
                None => return Ok(None),
            },
            Want::Look { arms, from } => Found::Look(self.look(id, &wanted.step_id, arms, *from, now).await?),
            Want::Window { arms, length } => {
                let from = now.checked_sub(*length).unwrap_or(Timestamp::UNIX_EPOCH);
                Found::Window(self.counts(arms, from, now).await?)
            }
            Want::Query(query) => Found::Query(match &self.parts.prometheus {
                Some(ask) => ask(query.clone()).await,
                None => Answered::Failed("no Prometheus may be asked: see `outbound.allow`".to_owned()),
            }),
        };
        let mut memory = self.memory.lock().expect("nothing panics while it holds this");
        let memory = memory.entry(id.to_owned()).or_default();
        // What was found out for steps that are over is of no use any more.
        memory.found.retain(|_, (found_at, _)| at.duration_since(*found_at) < Duration::from_secs(60));
        memory.found.insert(place, (at, found.clone()));
        Ok(Some(found))
    }

    async fn counts(&self, arms: &Arms, from: Timestamp, to: Timestamp) -> Result<Counts, StoreError> {
        let counted = self.parts.counters.counts(&all(arms), from, to).await?;
        self.sides(arms, |arm| counted.total(arm), &counted.last_seen, to).await
    }

    /// What was counted since a step's judge began. Each second is read once, however long the step takes.
    async fn look(
        &self,
        id: &str,
        step: &str,
        arms: &Arms,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<Counts, StoreError> {
        let at = clock::monotonic();
        let known = {
            let mut memory = self.memory.lock().expect("nothing panics while it holds this");
            let sums = &mut memory.entry(id.to_owned()).or_default().sums;
            sums.retain(|_, (_, asked_at, _)| at.duration_since(*asked_at) < SUM_KEPT);
            sums.remove(step).filter(|(begun, ..)| *begun == from)
        };
        let mut sum = known.map_or_else(|| Running::new(all(arms), from), |(_, _, sum)| sum);
        sum.advance(&*self.parts.counters).await?;
        let counts = self.sides(arms, |arm| sum.total(arm), sum.last_seen(), now).await?;
        let mut memory = self.memory.lock().expect("nothing panics while it holds this");
        memory.entry(id.to_owned()).or_default().sums.insert(step.to_owned(), (from, at, sum));
        Ok(counts)
    }

    async fn sides(
        &self,
        arms: &Arms,
        of: impl Fn(&Arm) -> ArmCounts,
        last_seen: &BTreeMap<Arc<str>, Timestamp>,
        now: Timestamp,
    ) -> Result<Counts, StoreError> {
        let total = |arms: &[Arm]| {
            let mut total = ArmCounts::default();
            arms.iter().for_each(|arm| total.merge(&of(arm)));
            total
        };
        let (new, old) = (total(&arms.new), total(&arms.old));
        let gateways = self.parts.store.gateways().await?;
        Ok(Counts { new, old, is_fresh: is_fresh(last_seen, &gateways, now) })
    }

    /// The live gateways that do not yet serve the flags as they were read.
    async fn behind(&self, read: &Read<'_>) -> Result<Vec<String>, StoreError> {
        let flags: Revisions = read.flags.iter().map(|(key, stored)| (key.clone(), stored.revision)).collect();
        let known = {
            let memory = self.memory.lock().expect("nothing panics while it holds this");
            memory.get(read.id).and_then(|memory| memory.served.clone()).filter(|(known, _)| *known == flags)
        };
        let revision = match known {
            Some((_, revision)) => revision,
            None => {
                // Read after the flags: it has them.
                let revision = self.parts.store.revision().await?;
                let mut memory = self.memory.lock().expect("nothing panics while it holds this");
                memory.entry(read.id.to_owned()).or_default().served = Some((flags, revision.clone()));
                revision
            }
        };
        let gateways = self.parts.store.gateways().await?;
        let is_behind = |seen: &&SeenGateway| {
            seen.is_live() && seen.gateway.applied.as_ref().is_none_or(|applied| !applied.has(&revision))
        };
        Ok(gateways.iter().filter(is_behind).map(|seen| seen.gateway.name.clone()).collect())
    }

    /// Another deployment that is further and touches the same.
    async fn in_the_way(&self, read: &Read<'_>) -> Result<Option<(String, String)>, StoreError> {
        for stored in self.parts.store.list(DocumentKind::Deployment).await? {
            let id = &*stored.document.key;
            let Ok(document) = DeploymentDocument::parse(&stored.text) else { continue };
            if id == read.id || !state_of(&document).is_live() {
                continue;
            }
            let Ok(status) = Status::read(document.fields().get("status")) else { continue };
            let Ok(other) = Deployment::read(&document, &self.parts.world.now().routes) else { continue };
            let has_begun = status.stages.iter().any(|stage| stage.order.is_some());
            if let Some(what) = read.deployment.clash(&other).filter(|_| has_begun) {
                return Ok(Some((id.to_owned(), what)));
            }
        }
        Ok(None)
    }
}

/// The arms of both sides.
fn all(arms: &Arms) -> Vec<Arm> {
    arms.new.iter().chain(&arms.old).cloned().collect()
}

/// Whether every live gateway gave its counts lately.
fn is_fresh(last_seen: &BTreeMap<Arc<str>, Timestamp>, gateways: &[SeenGateway], now: Timestamp) -> bool {
    let is_late = |seen: &SeenGateway| {
        let at = last_seen.get(&seen.gateway.id);
        at.is_none_or(|at| Duration::try_from(now.duration_since(*at)).unwrap_or_default() > LATE)
    };
    gateways.iter().filter(|seen| seen.is_live()).all(|seen| !is_late(seen))
}
