//! Looking through what is served.

use jiff::Timestamp;
use serde_json::Value;

use super::{Flag, Snapshot};
use crate::{
    eval::Flags as _,
    model::{DocumentKind, Effect, FlagDocument, SegmentDocument},
};

/// A flag that is served.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'s> {
    snapshot: &'s Snapshot,
    flag: &'s Flag,
}

impl Snapshot {
    /// The flags that are served, in no order.
    pub fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        self.flags().map(|flag| Listed { snapshot: self, flag })
    }
}

impl Snapshot {
    /// The document of a segment, as served; `None` also when it could not be compiled, and no version before could.
    #[must_use]
    pub fn served_segment(&self, id: &str) -> Option<&SegmentDocument> {
        let mut faults = self.segments.diagnostics.iter();
        let stands_in = faults.any(|diagnostic| {
            let of_it = diagnostic.document.kind == DocumentKind::Segment && *diagnostic.document.key == *id;
            of_it && diagnostic.fault.effect == Effect::Quarantined && !diagnostic.last_good_served
        });
        self.segment_document(id).filter(|_| !stands_in)
    }
}

impl<'s> Listed<'s> {
    /// The flag's key.
    #[must_use]
    pub fn key(self) -> &'s str {
        self.flag.compiled.key()
    }

    /// The document that is served; `None` when it could not be compiled, and no version before could.
    #[must_use]
    pub fn document(self) -> Option<&'s FlagDocument> {
        let stands_in = self.snapshot.diagnostics.get(self.key()).into_iter().flatten();
        let stands_in = { stands_in }
            .any(|diagnostic| diagnostic.fault.effect == Effect::Quarantined && !diagnostic.last_good_served);
        (!stands_in).then_some(&*self.flag.document)
    }

    /// Whether anything is wrong with the document in the store.
    #[must_use]
    pub fn is_faulty(self) -> bool {
        self.snapshot.diagnostics.contains_key(self.key())
    }

    /// Whether neither the flag nor an ancestor is off.
    #[must_use]
    pub fn is_on(self) -> bool {
        let parent = |compiled: &&'s crate::eval::CompiledFlag| self.snapshot.get(compiled.parent()?);
        let mut family =
            std::iter::successors(Some(&self.flag.compiled), parent).take(super::effective::MAX_ANCESTORS + 1);
        family.all(|flag| flag.is_on() && !flag.lacks_parent())
    }

    /// Whether the key, name, description, owner or a tag contains `lower`, which is in lower case.
    #[must_use]
    pub fn mentions(self, lower: &str) -> bool {
        let contains = |text: &str| text.to_lowercase().contains(lower);
        let fields = self.flag.document.fields();
        let texts = ["name", "description", "owner"].into_iter().filter_map(|name| fields.get(name)?.as_str());
        contains(self.key()) || texts.chain(self.tags()).any(contains)
    }

    /// The flag's own tags.
    pub fn tags(self) -> impl Iterator<Item = &'s str> {
        let tags = self.flag.document.fields().get("tags").and_then(Value::as_array).into_iter().flatten();
        tags.filter_map(Value::as_str)
    }

    /// Whether the flag is stale; see [`Snapshot::stale`].
    #[must_use]
    pub fn is_stale(self, usage: &super::Usage, long: jiff::SignedDuration, now: Timestamp) -> bool {
        self.snapshot.stale_flag(self.flag, usage, long, now).is_some()
    }
}
