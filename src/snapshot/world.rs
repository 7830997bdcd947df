//! The compiler's state: every document with what it last compiled to.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    panic::resume_unwind,
    sync::Arc,
    thread,
};

use ahash::AHashMap;
use serde_json::Value;

use super::{
    Flag, Snapshot,
    delivery::DeliveryWorld,
    effective::{self, MAX_ANCESTORS},
    graph::{self, Unsound},
    kills::{self, Tagged},
    segments::SegmentWorld,
};
use crate::{
    eval::{self, FlagIndex, Flags, SegmentNames},
    model::{
        Action, Change, Detail, Diagnostic, DocumentKey, DocumentKind, Effect, Fault, FlagDocument, WorldRevision,
    },
};

/// Compiles documents into snapshots. Keeps what is needed to recompile only what a change touches, and the last good
/// version of every document.
///
/// Invariant: one bad document never blocks the rest: it compiles to its last good version, else to off, and a diagnostic.
#[derive(Debug)]
pub struct World {
    /// What the next snapshot will be.
    next: Snapshot,
    free: Vec<FlagIndex>,
    sources: BTreeMap<Arc<str>, Source>,
    segments: SegmentWorld,
    delivery: DeliveryWorld,
    /// The flags that ask for segments: which ones there are is compiled into them.
    asking: BTreeSet<Arc<str>>,
    /// The flags that name a flag as parent or prerequisite.
    named_by: AHashMap<Arc<str>, BTreeSet<Arc<str>>>,
    unsound: BTreeMap<usize, Unsound>,
    tagged: Tagged,
    /// What the last `load` or `apply` changed.
    changed: Vec<(DocumentKey, Action)>,
}

/// One document, as it came and as it is served.
#[derive(Debug)]
struct Source {
    text: Arc<str>,
    /// The document in `text`, or why there is none.
    latest: Document,
    good: Option<Good>,
    /// What it names as parent and prerequisites.
    names: BTreeSet<Arc<str>>,
}

/// What was read, or why there is nothing.
type Document = Result<Arc<FlagDocument>, Fault>;

/// So many documents are read on all cores.
const MANY: usize = 512;

/// The last version that could be served.
#[derive(Clone, Debug)]
struct Good {
    text: Arc<str>,
    document: Arc<FlagDocument>,
}

impl World {
    /// An empty world; `environment` names the overrides (`environments` of a flag) that apply here.
    #[must_use]
    pub fn new(environment: Option<&str>) -> Self {
        Self {
            next: Snapshot { environment: environment.map(Into::into), ..Snapshot::empty() },
            free: Vec::new(),
            sources: BTreeMap::new(),
            segments: SegmentWorld::default(),
            delivery: DeliveryWorld::default(),
            asking: BTreeSet::new(),
            named_by: AHashMap::new(),
            unsound: BTreeMap::new(),
            tagged: Tagged::default(),
            changed: Vec::new(),
        }
    }

    /// The same in a region: kill switches of other regions do nothing here.
    #[must_use]
    pub fn in_region(mut self, region: Option<&str>) -> Self {
        self.next.region = region.map(Into::into);
        self
    }

    /// Replaces the world by these documents: those that are not named are gone. A document that is broken keeps its
    /// last good version, if this world has one. What did not change is not compiled again.
    pub fn load(
        &mut self,
        revision: WorldRevision,
        documents: impl IntoIterator<Item = (DocumentKey, Arc<str>)>,
    ) -> Arc<Snapshot> {
        let documents: BTreeMap<DocumentKey, Arc<str>> = documents.into_iter().collect();
        let flags = self.sources.keys().map(|key| DocumentKey::flag(Arc::clone(key)));
        let gone =
            self.segments.keys().chain(flags).chain(self.delivery.keys()).filter(|key| !documents.contains_key(key));
        let gone = gone.map(|document| Change { document, text: None });
        let there = documents.iter().map(|(key, text)| Change { document: key.clone(), text: Some(Arc::clone(text)) });
        let changes: Vec<Change> = gone.chain(there).collect();
        self.apply(revision, &changes)
    }

    /// Applies changes; only the changed documents and their dependants are compiled.
    pub fn apply(&mut self, revision: WorldRevision, changes: &[Change]) -> Arc<Snapshot> {
        self.changed.clear();
        let mut touched = BTreeSet::new();
        let mut links_changed = false;
        let segments_changed = self.segments.apply(changes, |document, action| self.changed.push((document, action)));
        if segments_changed {
            touched.extend(self.asking.iter().cloned());
        }
        self.next.segments = Arc::clone(self.segments.built());
        let mut kills_changed = self.delivery.apply(changes, |document, action| self.changed.push((document, action)));
        self.next.delivery = Arc::clone(self.delivery.built());
        for (change, latest) in changes.iter().zip(self.read_new(changes)) {
            let key = &change.document.key;
            match (change.document.kind, &change.text) {
                (DocumentKind::Flag, Some(text)) => self.take(key, text, latest, &mut touched),
                (DocumentKind::Flag, None) => links_changed |= self.remove(key, &mut touched),
                // Taken in above.
                (
                    DocumentKind::Segment | DocumentKind::MlModel | DocumentKind::KillSwitch | DocumentKind::Deployment,
                    _,
                ) => {}
            }
        }
        // What is killed hangs on which flags and segments there are, and on tags.
        kills_changed |= self.next.kills.is_some() && self.changed.iter().any(|(document, _)| is_named(document.kind));
        for key in self.parents_first(touched) {
            give_way();
            links_changed |= self.compile(&key);
        }
        if links_changed {
            self.settle_cycles();
        }
        if kills_changed {
            let active = self.delivery.active(self.next.region.as_deref());
            self.next.kills = kills::build(active, &self.next, &self.tagged);
        }
        self.next.revision = Some(revision);
        Arc::new(Snapshot {
            revision: self.next.revision.clone(),
            environment: self.next.environment.clone(),
            region: self.next.region.clone(),
            flags: Arc::clone(&self.next.flags),
            index: Arc::clone(&self.next.index),
            diagnostics: Arc::clone(&self.next.diagnostics),
            segments: Arc::clone(&self.next.segments),
            delivery: Arc::clone(&self.next.delivery),
            kills: self.next.kills.clone(),
        })
    }

    /// What the last `load` or `apply` changed, in its order; asked once. A document whose text stayed is not among it.
    pub fn take_changed(&mut self) -> Vec<(DocumentKey, Action)> {
        std::mem::take(&mut self.changed)
    }

    /// The last good text of every document, for the backup.
    pub fn last_good(&self) -> impl Iterator<Item = (DocumentKey, &Arc<str>)> {
        let good = self.sources.iter().filter_map(|(key, source)| Some((key, &source.good.as_ref()?.text)));
        let flags = good.map(|(key, text)| (DocumentKey::flag(Arc::clone(key)), text));
        self.segments.last_good().chain(flags).chain(self.delivery.last_good())
    }

    fn is_known(&self, key: &str, text: &Arc<str>) -> bool {
        self.sources.get(key).is_some_and(|source| source.text == *text)
    }

    /// Reads the documents that are not known yet, on all cores if there are many.
    fn read_new(&self, changes: &[Change]) -> Vec<Option<Document>> {
        let read_one = |change: &Change| {
            let (key, text) = (&change.document.key, change.text.as_ref()?);
            (change.document.kind == DocumentKind::Flag && !self.is_known(key, text)).then(|| read(key, text))
        };
        if changes.len() < MANY {
            let read_one = |change| {
                give_way();
                read_one(change)
            };
            return changes.iter().map(read_one).collect();
        }
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            let parts = changes.chunks(changes.len().div_ceil(cores));
            let parts: Vec<_> =
                parts.map(|part| scope.spawn(move || part.iter().map(read_one).collect::<Vec<_>>())).collect();
            parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }

    /// Takes one document in, and notes which flags have to be compiled.
    fn take(&mut self, key: &Arc<str>, text: &Arc<str>, latest: Option<Document>, touched: &mut BTreeSet<Arc<str>>) {
        if self.is_known(key, text) {
            return;
        }
        // One that was known before may have been replaced by another change just now.
        let latest = latest.unwrap_or_else(|| read(key, text));
        touched.insert(Arc::clone(key));
        if let Some(source) = self.sources.get_mut(key) {
            (source.text, source.latest) = (Arc::clone(text), latest);
            self.changed.push((DocumentKey::flag(Arc::clone(key)), Action::Updated));
            return;
        }
        self.changed.push((DocumentKey::flag(Arc::clone(key)), Action::Created));
        self.sources
            .insert(Arc::clone(key), Source { text: Arc::clone(text), latest, good: None, names: BTreeSet::new() });
        let index = self.free.pop().unwrap_or_else(|| {
            Arc::make_mut(&mut self.next.flags).push(None);
            FlagIndex(u32::try_from(self.next.flags.len() - 1).expect("fewer than 2^32 flags fit into memory"))
        });
        Arc::make_mut(&mut self.next.index).insert(Arc::clone(key), index);
        touched.extend(self.named_by.get(key).into_iter().flatten().cloned());
    }

    /// Forgets one document, and notes which flags have to be compiled. Says whether there was one.
    fn remove(&mut self, key: &Arc<str>, touched: &mut BTreeSet<Arc<str>>) -> bool {
        let Some((source, index)) = self.sources.remove(key).zip(self.next.flag(key)) else { return false };
        self.changed.push((DocumentKey::flag(Arc::clone(key)), Action::Deleted));
        touched.extend(self.named_by.get(key).into_iter().flatten().cloned());
        touched.remove(key);
        self.unlink(key, &source.names);
        self.asking.remove(key);
        Arc::make_mut(&mut self.next.index).remove(key);
        let removed = Arc::make_mut(&mut self.next.flags)[position(index)].take();
        self.tagged.replace(index, removed.as_ref().map_or(&[], |flag| &flag.tags), &[]);
        self.unsound.remove(&position(index));
        self.free.push(index);
        self.diagnose(key, Vec::new());
        true
    }

    /// The touched flags and all that inherit from them, ancestors before descendants.
    fn parents_first(&self, mut touched: BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
        let mut queue: Vec<Arc<str>> = touched.iter().cloned().collect();
        while let Some(key) = queue.pop() {
            for child in self.named_by.get(&key).into_iter().flatten() {
                if self.parent(child) == Some(&key) && touched.insert(Arc::clone(child)) {
                    queue.push(Arc::clone(child));
                }
            }
        }
        let ancestors = |key: &Arc<str>| {
            std::iter::successors(self.parent(key), |key| self.parent(key)).take(MAX_ANCESTORS).count()
        };
        let mut ordered: Vec<Arc<str>> = touched.into_iter().collect();
        ordered.sort_by_cached_key(ancestors);
        ordered
    }

    /// The parent that the latest readable version of a flag names.
    fn parent(&self, key: &str) -> Option<&str> {
        let source = self.sources.get(key)?;
        let document = source.latest.as_ref().ok().or(source.good.as_ref().map(|good| &good.document))?;
        document.fields().get("parent")?.as_str()
    }

    /// Compiles one flag: its latest version, or the last good one when that is quarantined. Says whether what it names
    /// changed.
    fn compile(&mut self, key: &Arc<str>) -> bool {
        let Some((source, index)) = self.sources.get(key).zip(self.next.flag(key)) else { return false };
        let latest =
            source.latest.as_ref().map_err(Clone::clone).and_then(|document| self.compile_document(key, document));
        let (mut flag, mut faults) = match latest {
            Ok(compiled) => compiled,
            Err(fault) => (self.off(key), vec![fault]),
        };
        let quarantined = faults.iter().any(|fault| fault.effect == Effect::Quarantined);
        let good = source.good.clone();
        let last_good =
            good.as_ref().filter(|_| quarantined).and_then(|good| self.compile_document(key, &good.document).ok());
        let last_good_served = last_good.is_some();
        if let Some((served, _)) = last_good {
            flag = served;
        }
        let source = self.sources.get_mut(key).expect("it was found above");
        if let (false, Ok(document)) = (quarantined, &source.latest) {
            source.good = Some(Good { text: Arc::clone(&source.text), document: Arc::clone(document) });
        }
        if let Some(unsound) = self.unsound.get(&position(index)) {
            flag.compiled.turn_off(Detail::Cycle);
            faults.push(self.describe(unsound));
        }
        let diagnostics = faults.into_iter().map(|fault| Diagnostic {
            document: DocumentKey::flag(Arc::clone(key)),
            last_good_served: last_good_served && fault.effect == Effect::Quarantined,
            fault,
        });
        self.diagnose(key, diagnostics.collect());
        let names = flag.names();
        match flag.compiled.asks_for_segments() {
            true => self.asking.insert(Arc::clone(key)),
            false => self.asking.remove(key),
        };
        let place = &mut Arc::make_mut(&mut self.next.flags)[position(index)];
        self.tagged.replace(index, place.as_ref().map_or(&[], |before| &before.tags), &flag.tags);
        *place = Some(Arc::new(flag));
        self.link(key, names)
    }

    fn compile_document(&self, key: &Arc<str>, document: &Arc<FlagDocument>) -> Result<(Flag, Vec<Fault>), Fault> {
        let fields = effective::effective(document, self.next.environment.as_deref(), |key| self.next.document(key))?;
        let compiled =
            eval::compile(key, &fields, &|key| self.next.flag(key), &self.next.segments.names, self.earlier(key));
        let mut faults = compiled.faults;
        faults.extend(compiled.flag.missing());
        let tags = kills::tags(&fields);
        Ok((Flag { document: Arc::clone(document), compiled: compiled.flag, tags }, faults))
    }

    /// A flag that is off because there is nothing to compile.
    fn off(&self, key: &Arc<str>) -> Flag {
        let document = FlagDocument::of_key(key);
        let mut compiled =
            eval::compile(key, document.fields(), &|_| None, &SegmentNames::default(), self.earlier(key)).flag;
        compiled.turn_off(Detail::Quarantined);
        Flag { document: Arc::new(document), compiled, tags: Box::default() }
    }

    fn earlier(&self, key: &str) -> Option<&eval::CompiledFlag> {
        self.next.flag(key).and_then(|index| self.next.get(index))
    }

    fn link(&mut self, key: &Arc<str>, names: BTreeSet<Arc<str>>) -> bool {
        let source = self.sources.get_mut(key).expect("only flags that have a document are linked");
        if source.names == names {
            return false;
        }
        let before = std::mem::replace(&mut source.names, names.clone());
        self.unlink(key, &before);
        for name in names {
            self.named_by.entry(name).or_default().insert(Arc::clone(key));
        }
        true
    }

    fn unlink(&mut self, key: &Arc<str>, names: &BTreeSet<Arc<str>>) {
        for name in names {
            if let Some(namers) = self.named_by.get_mut(name) {
                namers.remove(key);
                if namers.is_empty() {
                    self.named_by.remove(name);
                }
            }
        }
    }

    fn diagnose(&mut self, key: &Arc<str>, diagnostics: Vec<Diagnostic>) {
        if self.next.diagnostics.get(key).map_or(&[][..], Vec::as_slice) == diagnostics {
            return;
        }
        let all = Arc::make_mut(&mut self.next.diagnostics);
        if diagnostics.is_empty() {
            all.remove(key);
        } else {
            all.insert(Arc::clone(key), diagnostics);
        }
    }

    /// Turns the flags on cycles off, and on again those that no longer stand on one.
    fn settle_cycles(&mut self) {
        let links =
            |flag: &Option<Arc<Flag>>| flag.iter().flat_map(|flag| flag.compiled.links()).map(position).collect();
        let edges: Vec<graph::Edges> = self.next.flags.iter().map(links).collect();
        let before = std::mem::replace(&mut self.unsound, graph::unsound(&edges));
        let changed =
            before.keys().chain(self.unsound.keys()).filter(|node| before.get(node) != self.unsound.get(node));
        let keys: BTreeSet<Arc<str>> = changed
            .filter_map(|node| self.next.flags[*node].as_ref())
            .map(|flag| Arc::clone(&flag.compiled.key))
            .collect();
        for key in &keys {
            self.compile(key);
        }
    }

    fn describe(&self, unsound: &Unsound) -> Fault {
        let key = |node: &usize| self.next.flags[*node].as_ref().map_or("?", |flag| flag.compiled.key());
        let message = match unsound {
            Unsound::Cycle(path) => format!(
                "the flag is off: it stands on a cycle: {}",
                path.iter().map(key).collect::<Vec<_>>().join(" → ")
            ),
            Unsound::TooDeep => format!("the flag is off: more than {} flags stand behind it", graph::MAX_CHAIN),
        };
        Fault { pointer: String::new(), message, effect: Effect::Inert }
    }
}

impl Flag {
    /// The flags that this one names as parent and prerequisites.
    fn names(&self) -> BTreeSet<Arc<str>> {
        let parent = self.document.fields().get("parent").and_then(Value::as_str);
        parent.into_iter().chain(self.compiled.prerequisite_keys()).map(Into::into).collect()
    }
}

/// Lets others run between two documents: a compile takes long beside a request, and a scheduler may let it have its time
/// to the end.
fn give_way() {
    thread::yield_now();
}

/// Whether kill switches can name a document of this kind.
const fn is_named(kind: DocumentKind) -> bool {
    match kind {
        DocumentKind::Flag | DocumentKind::Segment => true,
        DocumentKind::MlModel | DocumentKind::KillSwitch | DocumentKind::Deployment => false,
    }
}

/// Reads a document that is stored under `key`.
fn read(key: &str, text: &str) -> Document {
    let document = FlagDocument::parse(text)?;
    if document.key() == key {
        return Ok(Arc::new(document));
    }
    let message = format!("the document names itself {:?} but is stored as {key:?}", document.key());
    Err(Fault { pointer: "/key".to_owned(), message, effect: Effect::Quarantined })
}

fn position(FlagIndex(position): FlagIndex) -> usize {
    usize::try_from(position).expect("a position in a vector fits usize")
}
