//! The immutable compiled world: documents are compiled into a [`Snapshot`], and one [`SnapshotCell`] publishes it.

mod cell;
mod check;
mod check_segments;
mod delivery;
mod drawn;
mod effective;
mod graph;
#[cfg(test)]
mod kill_tests;
mod kills;
mod listing;
mod population;
mod propose;
#[cfg(test)]
mod segment_tests;
mod segments;
mod source;
mod stale;
#[cfg(test)]
mod tests;
mod usage;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ahash::AHashMap;

use crate::{
    eval::{self, CompiledFlag, FlagIndex, Flags, KillSwitch, Kills, Segment, SegmentIndex, VariationTally},
    model::{
        Arm, Context, DeploymentDocument, Diagnostic, Fault, FlagDocument, KillSwitchDocument, ModelDocument,
        SegmentDocument, WorldRevision,
    },
    predict::Predictor,
};

use delivery::Delivery;
use segments::Segments;

pub use cell::{Publisher, SnapshotCell};
pub use listing::Listed;
pub use population::{Estimate, Overlap};
pub use propose::Proposal;
pub use stale::{Stale, StaleFlag, StaleReason};
pub use usage::Usage;
pub use world::World;

/// Evaluates the flags of one snapshot for one context.
pub type Evaluator<'s, 'c> = eval::Evaluator<'s, 'c, Snapshot>;

/// The compiled world at one revision.
///
/// Invariant: nothing in it changes after it was published, but for the tallies.
#[derive(Debug, Default)]
pub struct Snapshot {
    revision: Option<WorldRevision>,
    environment: Option<Arc<str>>,
    region: Option<Arc<str>>,
    /// By [`FlagIndex`]; a removed flag leaves a hole until its place is taken.
    flags: Arc<Vec<Option<Arc<Flag>>>>,
    index: Arc<AHashMap<Arc<str>, FlagIndex>>,
    diagnostics: Arc<BTreeMap<Arc<str>, Vec<Diagnostic>>>,
    segments: Arc<Segments>,
    delivery: Arc<Delivery>,
    /// None while no kill switch is active here.
    kills: Option<Arc<Kills>>,
}

/// One flag: what is served, and the document that it was compiled from.
#[derive(Debug)]
struct Flag {
    document: Arc<FlagDocument>,
    compiled: CompiledFlag,
    /// Its tags, those that it inherits included.
    tags: Box<[Arc<str>]>,
}

impl Snapshot {
    /// The snapshot of nothing, before anything was loaded.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The revision of the documents; `None` before anything was loaded.
    #[must_use]
    pub fn revision(&self) -> Option<&WorldRevision> {
        self.revision.as_ref()
    }

    /// Finds a flag by its key.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<FlagIndex> {
        self.index.get(key).copied()
    }

    /// How many flags there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no document of any kind.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        let Delivery { kill_switches, deployments, .. } = &*self.delivery;
        let is_without_segments = self.segments.names.is_empty() && self.segments.models.is_empty();
        self.is_empty() && is_without_segments && kill_switches.is_empty() && deployments.is_empty()
    }

    /// Whether there is no flag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The keys of all flags, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let mut keys: Vec<&str> = self.flags().map(|flag| flag.compiled.key()).collect();
        keys.sort_unstable();
        keys.into_iter()
    }

    /// Starts evaluating for `context`. One evaluator serves one request.
    #[must_use]
    pub fn evaluator<'s, 'c>(&'s self, context: Context<'c>) -> Evaluator<'s, 'c> {
        eval::Evaluator::new(self, context)
    }

    /// Every flag's counts: key, variation, counts by reason. Variations that a flag once had keep their counts for as
    /// long as the flag lives.
    pub fn tallies(&self) -> impl Iterator<Item = (&str, &str, &VariationTally)> {
        self.flags()
            .flat_map(|flag| flag.compiled.tallies().map(|(variation, tally)| (flag.compiled.key(), variation, tally)))
    }

    /// What is wrong with documents in the store: models, segments, flags, kill switches and deployments, each sorted by key.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        let delivery = self.delivery.diagnostics.iter();
        self.segments.diagnostics.iter().chain(self.diagnostics.values().flatten()).chain(delivery)
    }

    /// Finds a segment by its id.
    #[must_use]
    pub fn segment(&self, id: &str) -> Option<SegmentIndex> {
        self.segments.names.get(id).copied()
    }

    /// All segments, those of the highest priority first, then by id.
    pub fn segments(&self) -> impl Iterator<Item = (SegmentIndex, &Segment)> {
        self.segments.ordered.iter().filter_map(|index| Some((*index, self.segments.get(*index)?)))
    }

    /// One segment; `None` if it was removed.
    #[must_use]
    pub fn segment_at(&self, segment: SegmentIndex) -> Option<&Segment> {
        self.segments.get(segment)
    }

    /// The document of a segment, as served.
    #[must_use]
    pub fn segment_document(&self, id: &str) -> Option<&SegmentDocument> {
        self.segments.documents.get(id).map(AsRef::as_ref)
    }

    /// The segments that a user is a member of, those of the highest priority first, then by id.
    #[must_use]
    pub fn memberships(&self, context: Context<'_>) -> Vec<&str> {
        let evaluator = self.evaluator(context);
        self.segments().filter(|(index, _)| evaluator.is_member(*index)).map(|(_, segment)| segment.id()).collect()
    }

    /// The document of a model, as served.
    #[must_use]
    pub fn model_document(&self, id: &str) -> Option<&ModelDocument> {
        self.segments.models.get(id).map(|model| &*model.document)
    }

    /// A model, to be asked.
    #[must_use]
    pub fn model(&self, id: &str) -> Option<&Predictor> {
        self.segments.models.get(id).map(|model| &*model.predictor)
    }

    /// The ids of all models, sorted.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.segments.models.keys().map(AsRef::as_ref)
    }

    /// The document of a kill switch, as served.
    #[must_use]
    pub fn kill_switch(&self, id: &str) -> Option<&KillSwitchDocument> {
        self.delivery.kill_switches.get(id).map(|switch| &switch.document)
    }

    /// All kill switches, sorted by id.
    pub fn kill_switches(&self) -> impl Iterator<Item = &KillSwitchDocument> {
        self.delivery.kill_switches.values().map(|switch| &switch.document)
    }

    /// All kill switches as they were understood, sorted by id.
    pub fn checked_kill_switches(&self) -> impl Iterator<Item = &Arc<KillSwitch>> {
        self.delivery.kill_switches.values().map(|switch| &switch.checked)
    }

    /// Everything that is wrong with a kill switch that someone wants to write, in itself and against flags and segments.
    #[must_use]
    pub fn check_kill_switch(&self, document: &KillSwitchDocument) -> Vec<Fault> {
        kills::check(self, document)
    }

    /// Whether the requests of an arm are what a kill switch guards.
    #[must_use]
    pub fn is_guarded(&self, switch: &KillSwitch, arm: &Arm) -> bool {
        kills::is_guarded(self, switch, arm)
    }

    /// Whether the requests of an arm get what stands in for what a kill switch guards.
    #[must_use]
    pub fn stands_in(&self, switch: &KillSwitch, arm: &Arm) -> bool {
        kills::stands_in(self, switch, arm)
    }

    /// The flags that a kill switch is about, sorted.
    #[must_use]
    pub fn killed_by(&self, switch: &KillSwitch) -> Vec<&str> {
        let selected = self.flags().filter(|flag| switch.selects(flag.compiled.key(), &flag.tags));
        let mut keys: Vec<&str> = selected.map(|flag| flag.compiled.key()).collect();
        keys.sort_unstable();
        keys
    }

    /// The ids of the kill switches that name a segment.
    pub fn kill_switches_of<'s>(&'s self, segment: &'s str) -> impl Iterator<Item = &'s str> {
        let names = move |switch: &&Arc<KillSwitch>| {
            switch.segments.iter().flat_map(|segments| segments.iter()).any(|named| **named == *segment)
        };
        self.checked_kill_switches().filter(names).map(|switch| &*switch.id)
    }

    /// The tags that flags have, those that are inherited included.
    #[must_use]
    pub fn tags(&self) -> BTreeSet<&str> {
        self.flags().flat_map(|flag| flag.tags.iter().map(AsRef::as_ref)).collect()
    }

    /// The ids of the active kill switches that are about a flag, in any region.
    pub fn killers_of<'s>(&'s self, key: &'s str) -> impl Iterator<Item = &'s str> {
        let flag = self.flag(key).and_then(|flag| self.entry(flag));
        let active = self.checked_kill_switches().filter(|switch| switch.status.is_active());
        active.filter(move |switch| flag.is_some_and(|flag| switch.selects(key, &flag.tags))).map(|switch| &*switch.id)
    }

    /// The document of a deployment, as served.
    #[must_use]
    pub fn deployment(&self, id: &str) -> Option<&DeploymentDocument> {
        self.delivery.deployments.get(id).map(AsRef::as_ref)
    }

    /// All deployments, sorted by id.
    pub fn deployments(&self) -> impl Iterator<Item = &DeploymentDocument> {
        self.delivery.deployments.values().map(AsRef::as_ref)
    }

    /// Everything that is wrong with a document that someone wants to write, in itself and against the other flags
    /// (unknown or cyclic prerequisites and parents), in every environment. Empty: it may be written.
    #[must_use]
    pub fn check(&self, document: &FlagDocument) -> Vec<Fault> {
        check::check(self, document)
    }

    /// Everything that is wrong with a segment that someone wants to write, in itself and against the other segments.
    #[must_use]
    pub fn check_segment(&self, document: &SegmentDocument) -> Vec<Fault> {
        check_segments::check_segment(self, document)
    }

    /// Everything that is wrong with a model that someone wants to write.
    #[must_use]
    pub fn check_model(&self, document: &ModelDocument) -> Vec<Fault> {
        check_segments::check_model(document)
    }

    /// The segments and the flags that name the segment `id`, each sorted.
    #[must_use]
    pub fn segment_dependents(&self, id: &str) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        check_segments::dependents(self, id)
    }

    /// The segments that ask the model `id`, sorted.
    pub fn model_dependents<'s>(&'s self, id: &'s str) -> impl Iterator<Item = &'s str> {
        let asks = move |document: &SegmentDocument| {
            document.fields().get("ml_model_id").and_then(serde_json::Value::as_str) == Some(id)
        };
        self.segments.documents.iter().filter(move |(_, document)| asks(document)).map(|(segment, _)| &**segment)
    }

    /// The flags that have the flag `key` as parent or prerequisite, in any environment, sorted.
    pub fn dependents<'s>(&'s self, key: &str) -> impl Iterator<Item = &'s str> {
        let mut keys: Vec<&str> = self
            .flags()
            .filter(|flag| flag.compiled.key() != key && check::refers_to(&flag.document, key))
            .map(|flag| flag.compiled.key())
            .collect();
        keys.sort_unstable();
        keys.into_iter()
    }

    /// The whole path of one evaluation; see [`eval::explain`].
    #[must_use]
    pub fn explain(&self, flag: FlagIndex, context: Context<'_>) -> serde_json::Value {
        eval::explain(self, flag, context).unwrap_or_default()
    }

    /// Why a user is a member of a segment, or is not; see [`eval::explain_segment`]. Has the segment's `type`, and the
    /// text of its expression.
    #[must_use]
    pub fn explain_segment(&self, segment: SegmentIndex, context: Context<'_>) -> serde_json::Value {
        let mut told = eval::explain_segment(self, segment, context).unwrap_or_default();
        let document = told["id"].as_str().and_then(|id| self.segment_document(id));
        if let (Some(document), Some(told)) = (document, told.as_object_mut()) {
            let kind = document.fields().get("type").cloned().unwrap_or_else(|| "rule_based".into());
            told.shift_insert(1, "type".to_owned(), kind);
            if let Some(expression) = told.get_mut("expression") {
                expression["text"] = document.fields().get("expression").cloned().unwrap_or_default();
            }
        }
        told
    }

    fn flags(&self) -> impl Iterator<Item = &Flag> {
        self.flags.iter().flatten().map(AsRef::as_ref)
    }

    /// The document of a flag, as served.
    #[must_use]
    pub fn document(&self, key: &str) -> Option<&FlagDocument> {
        Some(&self.entry(self.flag(key)?)?.document)
    }

    fn entry(&self, FlagIndex(position): FlagIndex) -> Option<&Flag> {
        self.flags.get(usize::try_from(position).ok()?)?.as_deref()
    }
}

impl Flags for Snapshot {
    fn get(&self, flag: FlagIndex) -> Option<&CompiledFlag> {
        self.entry(flag).map(|flag| &flag.compiled)
    }

    fn segments(&self) -> &[Option<Arc<Segment>>] {
        &self.segments.compiled
    }

    fn kills(&self) -> Option<&Kills> {
        self.kills.as_deref()
    }
}
