//! What is refused when a segment or a model is written.

use std::{collections::BTreeSet, sync::Arc};

use super::{Snapshot, check, graph};
use crate::{
    eval::{self, SegmentIndex},
    model::{Effect, Fault, ModelDocument, SegmentDocument, is_writable_key},
    predict::Predictor,
};

pub(super) fn check_segment(snapshot: &Snapshot, document: &SegmentDocument) -> Vec<Fault> {
    let mut faults = misnamed(document.id());
    let id: Arc<str> = document.id().into();
    let mut names = snapshot.segments.names.clone();
    // What names itself stands on a cycle, which is told below.
    names.entry(Arc::clone(&id)).or_insert(SegmentIndex(u32::MAX));
    let compiled = eval::compile_segment(&id, document.fields(), &names, &|id| snapshot.segments.model(id));
    // A segment may be there before its model is: nobody is a member until then.
    let waits = |fault: &Fault| fault.pointer == "/ml_model_id" && fault.effect == Effect::Inert;
    faults.extend(compiled.faults.into_iter().filter(|fault| !waits(fault)));
    let known: BTreeSet<String> = faults.iter().map(|fault| fault.pointer.clone()).collect();
    faults.extend(eval::check_segment(document.fields()).into_iter().filter(|fault| !known.contains(&fault.pointer)));
    for (pointer, named) in eval::segment_references(document.fields()) {
        if let Some(path) = way(snapshot, &named, &id) {
            faults.push(refused(pointer, format!("a cycle: {id} → {}", path.join(" → "))));
        }
    }
    if faults.is_empty() && is_too_deep(snapshot, document) {
        let message = format!("more than {} segments stand behind this one", graph::MAX_CHAIN);
        faults.push(refused("/parent_segments".to_owned(), message));
    }
    faults
}

pub(super) fn check_model(document: &ModelDocument) -> Vec<Fault> {
    let mut faults = misnamed(document.id());
    faults.extend(Predictor::compile(document).err().unwrap_or_default());
    faults
}

/// The segments and flags that name the segment `id`, in any environment, each sorted.
pub(super) fn dependents(snapshot: &Snapshot, id: &str) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
    let names =
        |document: &SegmentDocument| eval::segment_references(document.fields()).iter().any(|(_, named)| named == id);
    let documents = snapshot.segments.documents.iter().filter(|(other, document)| &***other != id && names(document));
    let segments = documents.map(|(other, _)| Arc::clone(other)).collect();
    let Some(index) = snapshot.segment(id) else { return (segments, Vec::new()) };
    let flags = snapshot.flags().filter(|flag| {
        flag.compiled.segments().contains(&index) || check::names_segment(snapshot, &flag.document, index)
    });
    let mut flags: Vec<Arc<str>> = flags.map(|flag| Arc::clone(&flag.compiled.key)).collect();
    flags.sort_unstable();
    (segments, flags)
}

fn misnamed(id: &str) -> Vec<Fault> {
    let message = "an id is 1 to 128 letters, digits, dots, underscores and dashes, and starts with a letter or digit";
    let fault = (!is_writable_key(id)).then(|| refused("/id".to_owned(), message.to_owned()));
    fault.into_iter().collect()
}

fn named(snapshot: &Snapshot, id: &str) -> Vec<String> {
    let references = snapshot.segment_document(id).map(|document| eval::segment_references(document.fields()));
    references.into_iter().flatten().map(|(_, named)| named).collect()
}

/// The way from one segment to another along what they name.
fn way(snapshot: &Snapshot, from: &str, to: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::from([from.to_owned()]);
    let mut walk = vec![vec![from.to_owned()]];
    while let Some(path) = walk.pop() {
        let last = path.last()?;
        if last == to {
            return Some(path);
        }
        for next in named(snapshot, last) {
            if seen.insert(next.clone()) {
                walk.push(path.iter().cloned().chain([next]).collect());
            }
        }
    }
    None
}

fn is_too_deep(snapshot: &Snapshot, document: &SegmentDocument) -> bool {
    let mut level: BTreeSet<String> =
        eval::segment_references(document.fields()).into_iter().map(|(_, named)| named).collect();
    let mut depth = 0;
    while !level.is_empty() && depth <= graph::MAX_CHAIN {
        depth += 1;
        level = level.iter().flat_map(|id| named(snapshot, id)).collect();
    }
    depth > graph::MAX_CHAIN
}

fn refused(pointer: String, message: String) -> Fault {
    Fault { pointer, message, effect: Effect::Tolerated }
}
