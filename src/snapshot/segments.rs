//! The segments and models of a world. They are few, so all segments are compiled anew when one of them changes.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    graph::{self, Unsound},
    source::{Source, misnamed, take},
};
use crate::{
    eval::{self, Segment, SegmentIndex, SegmentNames},
    model::{Action, Change, Diagnostic, DocumentKey, DocumentKind, Effect, Fault, ModelDocument, SegmentDocument},
    predict::Predictor,
};

/// What a snapshot has of segments and models.
///
/// Invariant: a segment that leads back to itself knows the cycle.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) names: SegmentNames,
    /// By [`SegmentIndex`]; a removed segment leaves a hole until its place is taken.
    pub(super) compiled: Vec<Option<Arc<Segment>>>,
    /// All segments, those of the highest priority first, then by id.
    pub(super) ordered: Vec<SegmentIndex>,
    pub(super) documents: BTreeMap<Arc<str>, Arc<SegmentDocument>>,
    pub(super) models: BTreeMap<Arc<str>, Model>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// A model, as it is served.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) document: Arc<ModelDocument>,
    pub(super) predictor: Arc<Predictor>,
}

impl Segments {
    pub(super) fn get(&self, segment: SegmentIndex) -> Option<&Segment> {
        self.compiled.get(segment.position())?.as_deref()
    }

    pub(super) fn model(&self, id: &str) -> Option<Arc<Predictor>> {
        self.models.get(id).map(|model| Arc::clone(&model.predictor))
    }
}

/// The documents, and what was made of them last.
#[derive(Debug, Default)]
pub(super) struct SegmentWorld {
    segments: BTreeMap<Arc<str>, Source<SegmentDocument>>,
    models: BTreeMap<Arc<str>, Source<Model>>,
    free: Vec<SegmentIndex>,
    built: Arc<Segments>,
}

impl SegmentWorld {
    pub(super) fn built(&self) -> &Arc<Segments> {
        &self.built
    }

    /// The keys of all documents.
    pub(super) fn keys(&self) -> impl Iterator<Item = DocumentKey> {
        let models = self.models.keys().map(|id| DocumentKey::model(Arc::clone(id)));
        models.chain(self.segments.keys().map(|id| DocumentKey::segment(Arc::clone(id))))
    }

    /// The last good text of every document.
    pub(super) fn last_good(&self) -> impl Iterator<Item = (DocumentKey, &Arc<str>)> {
        let models = self
            .models
            .iter()
            .filter_map(|(id, source)| Some((DocumentKey::model(Arc::clone(id)), source.good_text()?)));
        let segments = self.segments.iter();
        models.chain(
            segments.filter_map(|(id, source)| Some((DocumentKey::segment(Arc::clone(id)), source.good_text()?))),
        )
    }

    /// Takes the changes of segments and models in, and tells each that is one. Says whether a segment came or went.
    pub(super) fn apply(&mut self, changes: &[Change], mut tell: impl FnMut(DocumentKey, Action)) -> bool {
        let mut is_changed = false;
        let mut came_or_went = false;
        for Change { document, text } in changes {
            let id = &document.key;
            let action = match document.kind {
                DocumentKind::Flag | DocumentKind::KillSwitch | DocumentKind::Deployment => None,
                DocumentKind::MlModel => take(&mut self.models, id, text.as_ref(), |text| read_model(id, text)),
                DocumentKind::Segment => take(&mut self.segments, id, text.as_ref(), |text| read_segment(id, text)),
            };
            if let Some(action) = action {
                is_changed = true;
                came_or_went |= document.kind == DocumentKind::Segment && action != Action::Updated;
                tell(document.clone(), action);
            }
        }
        if is_changed {
            self.build();
        }
        came_or_went
    }

    fn build(&mut self) {
        let mut next =
            Segments { compiled: self.built.compiled.clone(), names: self.built.names.clone(), ..Segments::default() };
        let mut diagnostics: BTreeMap<DocumentKey, Vec<(Fault, bool)>> = BTreeMap::new();
        let noted = |faults: Vec<Fault>, is_good: bool| faults.into_iter().map(|fault| (fault, is_good)).collect();
        for (id, source) in &mut self.models {
            source.keep();
            if let Err(faults) = &source.latest {
                diagnostics.insert(DocumentKey::model(Arc::clone(id)), noted(faults.clone(), source.good.is_some()));
            }
            if let Some((_, model)) = &source.good {
                next.models.insert(Arc::clone(id), (**model).clone());
            }
        }
        self.place(&mut next);
        for (id, source) in &mut self.segments {
            let (segment, faults) = compile(id, source, &next);
            if !faults.is_empty() {
                diagnostics.insert(DocumentKey::segment(Arc::clone(id)), noted(faults, source.good.is_some()));
            }
            let position = next.names[id].position();
            next.compiled[position] = Some(Arc::new(segment));
            let good = source.good.as_ref().map(|(_, document)| Arc::clone(document));
            let document = good.unwrap_or_else(|| Arc::new(SegmentDocument::of_id(id)));
            next.documents.insert(Arc::clone(id), document);
        }
        for (id, fault) in settle_chains(&mut next) {
            diagnostics.entry(DocumentKey::segment(id)).or_default().push((fault, false));
        }
        next.diagnostics = diagnostics
            .into_iter()
            .flat_map(|(document, faults)| {
                faults.into_iter().map(move |(fault, is_good)| Diagnostic {
                    document: document.clone(),
                    last_good_served: is_good && fault.effect == Effect::Quarantined,
                    fault,
                })
            })
            .collect();
        let mut ordered: Vec<&Segment> = next.compiled.iter().flatten().map(AsRef::as_ref).collect();
        ordered.sort_by(|left, right| right.priority().cmp(&left.priority()).then_with(|| left.id().cmp(right.id())));
        next.ordered = ordered.into_iter().map(|segment| next.names[segment.id()]).collect();
        self.built = Arc::new(next);
    }

    /// Gives each segment its place: those that stay keep theirs.
    fn place(&mut self, next: &mut Segments) {
        let gone: Vec<Arc<str>> = next.names.keys().filter(|id| !self.segments.contains_key(*id)).cloned().collect();
        for id in gone {
            if let Some(index) = next.names.remove(&id) {
                next.compiled[index.position()] = None;
                self.free.push(index);
            }
        }
        for id in self.segments.keys().filter(|id| !self.built.names.contains_key(*id)) {
            let index = self.free.pop().unwrap_or_else(|| {
                next.compiled.push(None);
                SegmentIndex(u32::try_from(next.compiled.len() - 1).expect("fewer than 2^32 segments fit into memory"))
            });
            next.names.insert(Arc::clone(id), index);
        }
    }
}

/// Compiles the latest version of a segment, or the last good one when that is quarantined; without either, nobody is a
/// member.
fn compile(id: &Arc<str>, source: &mut Source<SegmentDocument>, next: &Segments) -> (Segment, Vec<Fault>) {
    let compiled = |document: &SegmentDocument| {
        let compiled = eval::compile_segment(id, document.fields(), &next.names, &|id| next.model(id));
        (compiled.segment, compiled.faults)
    };
    let latest = source.latest.clone().map(|document| compiled(&document));
    let (segment, faults) = match latest {
        Ok((segment, faults)) => (Some(segment), faults),
        Err(faults) => (None, faults),
    };
    let is_quarantined = faults.iter().any(|fault| fault.effect == Effect::Quarantined);
    if let (Some(segment), false) = (segment, is_quarantined) {
        source.keep();
        return (segment, faults);
    }
    let good = source.good.as_ref().map(|(_, document)| compiled(document).0);
    (good.unwrap_or_else(|| Segment::closed(id, 0)), faults)
}

/// Notes which segments lead to each other, and closes those behind too long a chain of others.
fn settle_chains(next: &mut Segments) -> Vec<(Arc<str>, Fault)> {
    let links = |segment: &Option<Arc<Segment>>| {
        segment.iter().flat_map(|segment| segment.links()).map(SegmentIndex::position).collect()
    };
    let edges: Vec<graph::Edges> = next.compiled.iter().map(links).collect();
    let index = |node: usize| SegmentIndex(u32::try_from(node).expect("it was an index before"));
    let mut cycles: BTreeMap<usize, Arc<[SegmentIndex]>> = BTreeMap::new();
    for cycle in graph::cycles(&edges) {
        let members: Arc<[SegmentIndex]> = cycle.iter().copied().map(index).collect();
        cycles.extend(cycle.into_iter().map(|node| (node, Arc::clone(&members))));
    }
    let names: Vec<Option<Arc<str>>> =
        next.compiled.iter().map(|segment| segment.as_ref().map(|segment| Arc::clone(&segment.id))).collect();
    let name = |node: &usize| names[*node].as_deref().unwrap_or("?");
    let mut faults = Vec::new();
    for (node, unsound) in graph::unsound(&edges) {
        let Some(segment) = next.compiled[node].as_mut().and_then(Arc::get_mut) else { continue };
        let message = match unsound {
            Unsound::Cycle(path) => {
                segment.cycle = cycles.get(&node).cloned().unwrap_or_default();
                let path = path.iter().map(name).collect::<Vec<_>>().join(" → ");
                format!("it stands on a cycle: {path}; nobody is a member by way of that")
            }
            Unsound::TooDeep => {
                *segment = Segment::closed(&segment.id, segment.priority());
                format!("nobody is a member: more than {} segments stand behind it", graph::MAX_CHAIN)
            }
        };
        let id = Arc::clone(&segment.id);
        faults.push((id, Fault { pointer: String::new(), message, effect: Effect::Inert }));
    }
    faults
}

/// Reads a segment that is stored under `id`.
fn read_segment(id: &Arc<str>, text: &str) -> Result<Arc<SegmentDocument>, Vec<Fault>> {
    let document = SegmentDocument::parse(text).map_err(|fault| vec![fault])?;
    if document.id() != &**id {
        return Err(vec![misnamed(document.id(), id)]);
    }
    Ok(Arc::new(document))
}

fn read_model(id: &Arc<str>, text: &str) -> Result<Arc<Model>, Vec<Fault>> {
    let document = ModelDocument::parse(text).map_err(|fault| vec![fault])?;
    if document.id() != &**id {
        return Err(vec![misnamed(document.id(), id)]);
    }
    let predictor = Arc::new(Predictor::compile(&document)?);
    Ok(Arc::new(Model { document: Arc::new(document), predictor }))
}
