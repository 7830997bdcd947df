//! Whom a change would reach: each remembered user is evaluated with the flags as they are and as they would be.

use ahash::AHashMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    eval::{Evaluation, FlagIndex, Flags, Outcome, equal},
    model::{Context, FlagDocument, Reason, WithProfile},
    profiles::{Found, Profiles},
    recent::{Recent, Remembered},
    snapshot::{Proposal, Snapshot},
};

/// So many of the flags that rest on the one that would change are tried as well.
const MOST_DEPENDENTS: usize = 50;

/// What a change is tried with.
pub(super) struct Radius<'r> {
    pub(super) snapshot: &'r Snapshot,
    pub(super) profiles: Option<&'r Profiles>,
    /// How many examples are kept of each kind of change.
    pub(super) examples: usize,
    pub(super) now: Timestamp,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pub(super) remembers: bool,
    pub(super) users: u64,
    pub(super) requests: u64,
    /// When the first and the last of the contexts came.
    pub(super) seen: Option<(Timestamp, Timestamp)>,
    pub(super) passed_over: u64,
    /// Kinds of change, the most frequent first.
    pub(super) changes: Vec<Change>,
    /// Other flags that would give users something else, and how many.
    pub(super) affected: Vec<(String, u64)>,
    /// Flags that rest on this one and were not tried.
    pub(super) not_tried: usize,
    /// Profiles are looked into as far as they are cached.
    pub(super) profiles: bool,
    pub(super) without_profile: u64,
}

/// Users who would get one thing instead of another.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) from: Option<Given>,
    pub(super) to: Option<Given>,
    pub(super) users: u64,
    pub(super) requests: u64,
    pub(super) examples: Vec<Example>,
}

/// What a flag gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Given {
    pub(super) variation: String,
    pub(super) value: Value,
}

/// One of the users.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) user_id: String,
    pub(super) seen_at: Timestamp,
    pub(super) reasons: (Option<Reason>, Option<Reason>),
}

/// Where users are counted by: the outcomes, which stay where they are meanwhile.
type Between = (Option<*const Outcome>, Option<*const Outcome>);

impl Radius<'_> {
    /// Tries a document on those who were here lately.
    pub(super) fn of(&self, document: &FlagDocument, recent: &Recent) -> Reach {
        let proposal = self.snapshot.propose(document);
        let Remembered { users, passed_over, .. } = recent.remembered();
        let mut dependents = proposal.dependents();
        let not_tried = dependents.len().saturating_sub(MOST_DEPENDENTS);
        dependents.truncate(MOST_DEPENDENTS);
        let mut reach = Reach {
            remembers: recent.is_on(),
            seen: users.last().zip(users.first()).map(|((oldest, _), (newest, _))| (oldest.at(), newest.at())),
            passed_over,
            not_tried,
            profiles: self.profiles.is_some(),
            ..Reach::default()
        };
        let mut affected = vec![0; dependents.len()];
        let mut kinds: AHashMap<Between, Option<Change>> = AHashMap::new();
        for (seen, requests) in users {
            // What was noted is an object.
            let Ok(said) = serde_json::from_str::<Map<String, Value>>(seen.attributes()) else { continue };
            let found = self.profiles.and_then(|profiles| profiles.peek(seen.user_id()));
            let attributes = WithProfile::new(&said, found.as_ref().and_then(Found::profile));
            let context = Context { user_id: seen.user_id(), attributes: &attributes, now: self.now };
            let (mut before, mut after) = (self.snapshot.evaluator(context), proposal.evaluator(context));
            let (from, to) = (before.evaluate(proposal.flag()), after.evaluate(proposal.flag()));
            reach.users += 1;
            reach.requests += requests;
            let between = (from.map(outcome), to.map(outcome));
            if let Some(change) = kinds.entry(between).or_insert_with(|| Change::between(from, to)) {
                change.users += 1;
                change.requests += requests;
                if change.examples.len() < self.examples {
                    let (user_id, seen_at) = (seen.user_id().to_owned(), seen.at());
                    let reasons = (from.map(|from| from.reason), to.map(|to| to.reason));
                    change.examples.push(Example { user_id, seen_at, reasons });
                }
            }
            for (flag, count) in dependents.iter().zip(&mut affected) {
                *count += u64::from(differ(before.evaluate(*flag), after.evaluate(*flag)));
            }
            reach.without_profile += u64::from(found.is_none() && attributes.lacked());
        }
        reach.changes = kinds.into_values().flatten().collect();
        reach.changes.sort_by_cached_key(|change| (std::cmp::Reverse(change.users), change.name()));
        reach.affected = named(&proposal, &dependents, &affected);
        reach
    }
}

/// The flags that would give somebody something else, the most users first.
fn named(proposal: &Proposal<'_>, flags: &[FlagIndex], users: &[u64]) -> Vec<(String, u64)> {
    let key = |flag: FlagIndex| proposal.get(flag).map(|flag| flag.key().to_owned()).unwrap_or_default();
    let mut named: Vec<(String, u64)> =
        flags.iter().zip(users).filter(|(_, users)| **users > 0).map(|(flag, users)| (key(*flag), *users)).collect();
    named.sort_by_key(|(_, users)| std::cmp::Reverse(*users));
    named
}

fn outcome(evaluation: Evaluation<'_>) -> *const Outcome {
    evaluation.outcome
}

/// Whether a user is given something else. A reason that changes is no change of what is given.
fn differ(from: Option<Evaluation<'_>>, to: Option<Evaluation<'_>>) -> bool {
    match (from, to) {
        (Some(from), Some(to)) => from.variation() != to.variation() || !equal(from.value(), to.value()),
        (from, to) => from.is_some() != to.is_some(),
    }
}

impl Change {
    /// `None`: it is the same.
    fn between(from: Option<Evaluation<'_>>, to: Option<Evaluation<'_>>) -> Option<Self> {
        let given = |evaluation: Evaluation<'_>| Given {
            variation: evaluation.variation().to_owned(),
            value: evaluation.value().clone(),
        };
        let (users, requests, examples) = (0, 0, Vec::new());
        differ(from, to).then(|| Self { from: from.map(given), to: to.map(given), users, requests, examples })
    }

    fn name(&self) -> (String, String) {
        let name = |given: &Option<Given>| given.as_ref().map_or_else(String::new, |given| given.variation.clone());
        (name(&self.from), name(&self.to))
    }
}
