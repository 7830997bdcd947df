//! What would be served if a document were written, without writing it.

use std::{collections::BTreeSet, sync::Arc};

use ahash::AHashMap;
use serde_json::Value;

use super::{Snapshot, effective, graph, kills};
use crate::{
    eval::{self, CompiledFlag, Evaluator, FlagIndex, Flags, Kills, Segment, SegmentNames},
    model::{Context, Detail, Effect, FlagDocument},
};

/// A snapshot with one document in the place of another, or in addition.
///
/// Invariant: evaluating it ends: what would stand on a cycle is off, as it would be when it is served.
#[derive(Debug)]
pub struct Proposal<'s> {
    snapshot: &'s Snapshot,
    /// Flags that are not as in the snapshot.
    changed: AHashMap<FlagIndex, Changed>,
    key: Arc<str>,
    flag: FlagIndex,
    /// As the tags would be.
    kills: Option<Kills>,
}

/// A flag that would be another.
#[derive(Debug)]
struct Changed {
    compiled: CompiledFlag,
    tags: Box<[Arc<str>]>,
    /// Its document is too faulty to be served.
    is_quarantined: bool,
}

impl Snapshot {
    /// What would be served with this document. One that is too faulty to be served changes nothing, as its last good
    /// version is served instead.
    #[must_use]
    pub fn propose(&self, document: &FlagDocument) -> Proposal<'_> {
        let (key, end): (Arc<str>, _) = (document.key().into(), self.flags.len());
        let new = || FlagIndex(u32::try_from(end).expect("fewer than 2^32 flags fit into memory"));
        let flag = self.flag(&key).unwrap_or_else(new);
        let mut proposal =
            Proposal { snapshot: self, changed: AHashMap::new(), key, flag, kills: self.kills().cloned() };
        let changed = proposal.compile(document, document);
        if changed.is_quarantined && self.entry(flag).is_some() {
            return proposal;
        }
        proposal.changed.insert(flag, changed);
        proposal.compile_dependents(document);
        proposal.settle_cycles(document);
        let changed = proposal.changed.iter().map(|(flag, changed)| (*flag, changed.compiled.key(), &*changed.tags));
        proposal.kills = self.kills().map(|kills| kills.with(changed));
        proposal
    }
}

impl<'s> Proposal<'s> {
    /// The position of the flag that is proposed.
    #[must_use]
    pub fn flag(&self) -> FlagIndex {
        self.flag
    }

    /// Starts evaluating for `context`.
    #[must_use]
    pub fn evaluator<'p, 'c>(&'p self, context: Context<'c>) -> Evaluator<'p, 'c, Self> {
        Evaluator::new(self, context)
    }

    /// The flags that look at the one that is proposed, as served or as proposed, directly or through others: in the order
    /// of their keys.
    #[must_use]
    pub fn dependents(&self) -> Vec<FlagIndex> {
        let mut seen = BTreeSet::from([self.flag]);
        let mut queue = vec![self.flag];
        let named = self.named_by();
        while let Some(flag) = queue.pop() {
            queue.extend(named.get(&flag).into_iter().flatten().filter(|namer| seen.insert(**namer)));
        }
        seen.remove(&self.flag);
        let mut dependents: Vec<FlagIndex> = seen.into_iter().collect();
        dependents.sort_by_key(|flag| self.get(*flag).map(CompiledFlag::key));
        dependents
    }

    /// The flags that have each flag as parent or prerequisite, as served or as proposed.
    fn named_by(&self) -> AHashMap<FlagIndex, Vec<FlagIndex>> {
        let mut named: AHashMap<FlagIndex, Vec<FlagIndex>> = AHashMap::new();
        for flag in self.positions() {
            let versions = [self.snapshot.get(flag), self.get(flag)];
            for link in versions.into_iter().flatten().flat_map(CompiledFlag::links) {
                named.entry(link).or_default().push(flag);
            }
        }
        named
    }

    fn positions(&self) -> impl Iterator<Item = FlagIndex> + use<> {
        let last = self.flag.0.max(u32::try_from(self.snapshot.flags.len()).unwrap_or(u32::MAX).saturating_sub(1));
        (0..=last).map(FlagIndex)
    }

    /// Compiles a document under what is proposed.
    fn compile(&self, document: &FlagDocument, proposed: &FlagDocument) -> Changed {
        let snapshot = self.snapshot;
        let find = |key: &str| if key == proposed.key() { Some(proposed) } else { snapshot.document(key) };
        let position = |key: &str| if key == &*self.key { Some(self.flag) } else { snapshot.flag(key) };
        let key = document.key().into();
        match effective::effective(document, snapshot.environment.as_deref(), find) {
            Ok(fields) => {
                let compiled = eval::compile(&key, &fields, &position, &snapshot.segments.names, None);
                let is_quarantined = compiled.faults.iter().any(|fault| fault.effect == Effect::Quarantined);
                Changed { compiled: compiled.flag, tags: kills::tags(&fields), is_quarantined }
            }
            Err(_) => {
                let mut compiled =
                    eval::compile(&key, FlagDocument::of_key(&key).fields(), &|_| None, &SegmentNames::default(), None)
                        .flag;
                compiled.turn_off(Detail::Quarantined);
                Changed { compiled, tags: Box::default(), is_quarantined: true }
            }
        }
    }

    /// Compiles anew what inherits from the flag, and what waited for a flag of this key.
    fn compile_dependents(&mut self, proposed: &FlagDocument) {
        let is_new = self.snapshot.flag(&self.key).is_none();
        let mut changed = Vec::new();
        for flag in self.positions().filter(|flag| *flag != self.flag) {
            let Some(entry) = self.snapshot.entry(flag) else { continue };
            // Prerequisites may be inherited, so the document does not tell them.
            let waited = || entry.compiled.prerequisite_keys().any(|key| *key == *self.key);
            if self.inherits(&entry.document) || (is_new && waited()) {
                changed.push((flag, self.compile(&entry.document, proposed)));
            }
        }
        self.changed.extend(changed);
    }

    /// Whether a flag is a descendant of the one that is proposed.
    fn inherits(&self, document: &FlagDocument) -> bool {
        let parent =
            |document: &FlagDocument| document.fields().get("parent").and_then(Value::as_str).map(str::to_owned);
        let ancestors = std::iter::successors(parent(document), |key| {
            if **key == *self.key { None } else { parent(self.snapshot.document(key)?) }
        });
        ancestors.take(effective::MAX_ANCESTORS).any(|key| *key == *self.key)
    }

    /// Turns off what would stand on a cycle, and on again what would no longer.
    fn settle_cycles(&mut self, proposed: &FlagDocument) {
        let position = |FlagIndex(position): FlagIndex| usize::try_from(position).expect("a position fits usize");
        let edges: Vec<graph::Edges> = self
            .positions()
            .map(|flag| self.get(flag).into_iter().flat_map(CompiledFlag::links).map(position).collect())
            .collect();
        let unsound = graph::unsound(&edges);
        for flag in self.positions() {
            let is_unsound = unsound.contains_key(&position(flag));
            let was_off = self.get(flag).is_some_and(CompiledFlag::stands_on_a_cycle);
            if is_unsound == was_off {
                continue;
            }
            let document = match self.snapshot.entry(flag).filter(|_| flag != self.flag) {
                Some(entry) => &*entry.document,
                None => proposed,
            };
            let mut changed = self.compile(document, proposed);
            if is_unsound {
                changed.compiled.turn_off(Detail::Cycle);
            }
            self.changed.insert(flag, changed);
        }
    }
}

impl Flags for Proposal<'_> {
    fn get(&self, flag: FlagIndex) -> Option<&CompiledFlag> {
        self.changed.get(&flag).map(|changed| &changed.compiled).or_else(|| self.snapshot.get(flag))
    }

    fn segments(&self) -> &[Option<Arc<Segment>>] {
        Flags::segments(self.snapshot)
    }

    fn kills(&self) -> Option<&Kills> {
        self.kills.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;
    use crate::{
        model::{Change, DocumentKey, WorldRevision},
        snapshot::World,
    };

    fn revision(number: u64) -> WorldRevision {
        WorldRevision { epoch: "test".into(), number }
    }

    /// What every flag gives some users.
    fn given<F: Flags>(flags: &F, all: &[(String, FlagIndex)]) -> Vec<String> {
        let mut told = Vec::new();
        for plan in ["free", "pro"] {
            let attributes: Map<String, Value> = Map::from_iter([("plan".to_owned(), plan.into())]);
            for user in 0..12 {
                let (user_id, now) = (format!("user-{user}"), Timestamp::UNIX_EPOCH);
                let context = Context { user_id: &user_id, attributes: &attributes, now };
                for (key, flag) in all {
                    let found = Evaluator::new(flags, context).evaluate(*flag);
                    let found = found.map(|found| (found.value(), found.variation(), found.reason, found.detail));
                    told.push(format!("{key} {plan} {user_id} {found:?}"));
                }
            }
        }
        told
    }

    fn document(key: usize) -> impl Strategy<Value = Value> {
        let other = || prop::option::weighted(0.4, 0_usize..6);
        let shape = (any::<bool>(), 0_u32..=100, other(), other(), 0_u8..10, any::<bool>());
        shape.prop_map(move |(enabled, percentage, parent, prerequisite, odd, targeting)| {
            let mut flag = json!({ "key": format!("f{key}"), "enabled": enabled || odd > 3, "rollout_enabled": true,
                "rollout_percentage": percentage });
            // A flag that is its own ancestor is off, but what it inherits until then depends on what came first.
            if let Some(parent) = parent.filter(|parent| *parent < key) {
                flag["parent"] = format!("f{parent}").into();
            }
            if let Some(prerequisite) = prerequisite {
                flag["prerequisites"] = json!([format!("f{prerequisite}")]);
            }
            if targeting {
                flag["targeting_enabled"] = true.into();
                let attribute = if odd.is_multiple_of(2) { ("plan", "pro") } else { ("segment", "paying") };
                flag["targeting_rules"] =
                    json!([{ "attribute": attribute.0, "operator": "equals", "value": attribute.1 }]);
            }
            match odd {
                0 => flag["salt"] = "other".into(),
                1 => flag["environments"] = json!({ "live": { "rollout_percentage": 100 } }),
                5 => flag["tags"] = json!(["killed"]),
                2 => drop(flag.as_object_mut().map(|fields| fields.shift_remove("rollout_percentage"))),
                _ => {}
            }
            flag
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// What is proposed is what is served once it is written: for the flag, for those that look at it, for cycles.
        #[test]
        fn it_is_as_if_it_were_written(
            there in prop::collection::vec(any::<bool>(), 6),
            documents in (document(0), document(1), document(2), document(3), document(4), document(5)),
            proposed in (0_usize..6).prop_flat_map(document),
            live in any::<bool>(),
            killing in any::<bool>(),
        ) {
            let documents = [documents.0, documents.1, documents.2, documents.3, documents.4, documents.5];
            let mut world = World::new(live.then_some("live"));
            let key = |flag: &Value| DocumentKey::flag(flag["key"].as_str().unwrap());
            let there: Vec<_> = documents.iter().zip(there).filter(|(_, there)| *there).collect();
            let paying = json!({ "id": "paying", "rules": [{ "field": "plan", "operator": "equals", "value": "pro" }] });
            let segment = (DocumentKey::segment("paying"), Arc::from(paying.to_string()));
            let flags = there.iter().map(|(flag, _)| (key(flag), flag.to_string().into()));
            // What is killed is killed in what is proposed as well, also by tags that are inherited or only proposed.
            let switch = json!({ "id": "k", "affected_features": ["tag:killed", "f1"], "status": { "state": "triggered" } });
            let switch = (DocumentKey::kill_switch("k"), Arc::from(switch.to_string()));
            let before = world.load(revision(1), flags.chain([segment]).chain(killing.then_some(switch)));
            let document = FlagDocument::parse(&proposed.to_string()).unwrap();
            let proposal = before.propose(&document);
            let change = Change { document: key(&proposed), text: Some(proposed.to_string().into()) };
            let after = world.apply(revision(2), &[change]);
            let all: Vec<_> = after.keys().map(|key| (key.to_owned(), after.flag(key).unwrap())).collect();
            prop_assert_eq!(after.flag(document.key()), Some(proposal.flag()));
            let (tried, served) = (given(&proposal, &all), given(&*after, &all));
            prop_assert_eq!(&tried, &served);
            // Whatever else changes is told.
            let changed = given(&*before, &all).into_iter().zip(tried).filter(|(before, after)| before != after);
            let dependents: Vec<_> = proposal.dependents().iter().map(|flag| after.get(*flag).unwrap().key()).collect();
            for (_, told) in changed {
                let key = told.split(' ').next().unwrap();
                prop_assert!(key == document.key() || dependents.contains(&key), "{} {:?}", told, dependents);
            }
        }
    }

    #[test]
    fn what_is_too_faulty_to_be_served_changes_nothing() {
        let good = json!({ "key": "a", "rollout_enabled": true, "rollout_percentage": 50 });
        let before = World::new(None).load(revision(1), [(DocumentKey::flag("a"), good.to_string().into())]);
        let faulty = FlagDocument::parse(r#"{ "key": "a", "salt": 1, "default_value": true }"#).unwrap();
        let proposal = before.propose(&faulty);
        let all = [("a".to_owned(), proposal.flag())];
        assert_eq!(given(&proposal, &all), given(&*before, &all));
        // One that was not there before is off.
        let empty = Snapshot::empty();
        let proposal = empty.propose(&faulty);
        assert!(given(&proposal, &all)[0].contains("FlagDisabled"), "{:?}", given(&proposal, &all));
        assert!(given(&empty, &all)[0].ends_with("None"));
    }
}
