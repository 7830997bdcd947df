//! Segments: named sets of users, decided from what is known of one user, without asking anybody.

mod check;
mod compile;
mod explain;
mod expression;

use std::{cell::RefCell, sync::Arc};

use smallvec::SmallVec;

use super::condition::{Condition, Truth};
use crate::{
    model::Context,
    predict::{Prediction, Predictor},
};

pub use check::check as check_segment;
pub use compile::{CompiledSegment, SegmentNames, compile as compile_segment, references as segment_references};
pub use explain::explain as explain_segment;
pub use expression::{Expression, ExpressionError};

/// The position of a segment in its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentIndex(pub(crate) u32);

impl SegmentIndex {
    pub(crate) fn position(self) -> usize {
        usize::try_from(self.0).expect("a position in a vector fits usize")
    }
}

/// A segment, compiled.
#[derive(Debug)]
pub struct Segment {
    pub(crate) id: Arc<str>,
    /// Orders lists of segments, highest first; never changes who is a member.
    pub(crate) priority: i64,
    /// Nobody is a member who is not one of each of these.
    pub(crate) parents: Box<[SegmentIndex]>,
    /// Nobody is a member who is one of any of these.
    pub(crate) exclusions: Box<[SegmentIndex]>,
    pub(crate) test: MemberTest,
    /// The segments, itself among them, that lead to each other; empty if it stands on no cycle.
    pub(crate) cycle: Arc<[SegmentIndex]>,
}

impl Segment {
    /// The segment's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its place in lists of segments: highest first.
    #[must_use]
    pub fn priority(&self) -> i64 {
        self.priority
    }

    /// The segments that membership of this one depends on; one may come twice.
    pub(crate) fn links(&self) -> impl Iterator<Item = SegmentIndex> {
        let named = match &self.test {
            MemberTest::Composite(expression, _) => expression.names(),
            MemberTest::Nobody | MemberTest::Rules(_) | MemberTest::Live(_) | MemberTest::Predicted(..) => Vec::new(),
        };
        let named: Vec<SegmentIndex> = named.into_iter().copied().collect();
        self.parents.iter().chain(&self.exclusions).copied().chain(named)
    }

    /// A segment without members, which depends on nothing.
    pub(crate) fn closed(id: &Arc<str>, priority: i64) -> Self {
        let none = Box::default;
        Self {
            id: Arc::clone(id),
            priority,
            parents: none(),
            exclusions: none(),
            test: MemberTest::Nobody,
            cycle: Arc::default(),
        }
    }
}

/// What makes a user a member, beyond parents and exclusions.
#[derive(Debug)]
pub(crate) enum MemberTest {
    /// Nothing does.
    Nobody,
    Rules(Rules),
    Composite(Expression, Rules),
    /// Rules over what the user is doing now.
    Live(Rules),
    /// What a model says, and the rules.
    Predicted(Arc<Predictor>, Accept, Rules),
}

/// Which predictions of a model make a member.
#[derive(Debug)]
pub(crate) enum Accept {
    /// A probability of at least this.
    AtLeast(f64),
    /// One of these clusters.
    Clusters(Box<[u32]>),
}

impl Accept {
    fn accepts(&self, prediction: &Prediction) -> bool {
        match (self, prediction) {
            (Self::AtLeast(threshold), Prediction::Probability(probability)) => probability >= threshold,
            (Self::Clusters(clusters), Prediction::Cluster(cluster)) => clusters.contains(cluster),
            (Self::AtLeast(_), Prediction::Cluster(_)) | (Self::Clusters(_), Prediction::Probability(_)) => false,
        }
    }
}

/// The rules of a segment.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Box<[Rule]>,
    /// So much weight must hold; `None`: all rules.
    min_score: Option<f64>,
}

#[derive(Debug)]
struct Rule {
    /// `None`: it cannot hold.
    condition: Option<Condition>,
    weight: f64,
    /// The field, if the rule holds for one that is null; one that is missing fails every rule.
    null_field: Option<Box<str>>,
}

impl Rules {
    fn hold(&self, scope: &Scope<'_, '_>) -> bool {
        match self.min_score {
            None => self.rules.iter().all(|rule| rule.holds(scope)),
            Some(least) => {
                self.rules.iter().filter(|rule| rule.holds(scope)).map(|rule| rule.weight).sum::<f64>() >= least
            }
        }
    }
}

impl Rule {
    fn holds(&self, scope: &Scope<'_, '_>) -> bool {
        let is_null = || self.null_field.as_ref().is_some_and(|field| scope.context.attributes.is_null(field));
        self.condition.as_ref().is_some_and(|condition| match condition.test(scope) {
            Truth::Yes => true,
            Truth::No => false,
            Truth::Unknown => is_null(),
        })
    }
}

/// The attribute that is there while something is known of what the user is doing.
const ACTIVITY: &str = "activity";

/// Whom an evaluation is for, and what was found out of the user's segments so far.
///
/// Invariant: each segment is decided at most once.
pub(crate) struct Scope<'s, 'c> {
    pub(crate) context: Context<'c>,
    segments: &'s [Option<Arc<Segment>>],
    /// Two bits for each segment: whether it was decided, and how. Empty until one is asked for.
    decided: RefCell<SmallVec<[u64; 8]>>,
}

/// Segments whose answers fit into one word.
const PER_WORD: usize = 32;

impl<'s, 'c> Scope<'s, 'c> {
    pub(crate) fn new(context: Context<'c>, segments: &'s [Option<Arc<Segment>>]) -> Self {
        Self { context, segments, decided: RefCell::default() }
    }

    /// What a segment is called.
    pub(crate) fn name(&self, segment: SegmentIndex) -> Option<&'s str> {
        self.segment(segment).map(|segment| &*segment.id)
    }

    fn segment(&self, segment: SegmentIndex) -> Option<&'s Segment> {
        self.segments.get(segment.position())?.as_deref()
    }

    /// Whether the user is a member of a segment; of one that was removed, nobody is.
    pub(crate) fn is_member(&self, segment: SegmentIndex) -> bool {
        let Some(compiled) = self.segment(segment) else { return false };
        let (word, shift) = (segment.position() / PER_WORD, segment.position() % PER_WORD * 2);
        {
            let mut decided = self.decided.borrow_mut();
            if decided.is_empty() {
                decided.resize(self.segments.len().div_ceil(PER_WORD), 0);
            }
            if decided[word] >> shift & 1 == 1 {
                return decided[word] >> shift & 2 == 2;
            }
        }
        if !compiled.cycle.is_empty() {
            return self.decide_cycle(segment, &compiled.cycle);
        }
        let is_member = self.decide(compiled, &|segment| self.is_member(segment), &|segment| self.is_member(segment));
        self.remember(segment, is_member);
        is_member
    }

    fn remember(&self, segment: SegmentIndex, is_member: bool) {
        let (word, shift) = (segment.position() / PER_WORD, segment.position() % PER_WORD * 2);
        self.decided.borrow_mut()[word] |= (1 | u64::from(is_member) << 1) << shift;
    }

    /// Decides the segments that lead to each other by the well-founded semantics (Van Gelder, Ross and Schlipf 1991, as
    /// an alternating fixpoint): who is a member follows from what is certain alone, a circle of parents gives nobody
    /// membership, and neither does one that only an exclusion of itself could decide. So no order of the documents
    /// matters.
    fn decide_cycle(&self, asked: SegmentIndex, cycle: &[SegmentIndex]) -> bool {
        let mut certain = Chosen::from_elem(false, cycle.len());
        loop {
            let possible = self.following(cycle, &certain);
            let next = self.following(cycle, &possible);
            if next == certain {
                break;
            }
            certain = next;
        }
        let mut is_member = false;
        for (segment, certain) in cycle.iter().zip(certain) {
            self.remember(*segment, certain);
            is_member |= *segment == asked && certain;
        }
        is_member
    }

    /// The least choice of segments that follows when just the `excluded` ones count against membership of others.
    fn following(&self, cycle: &[SegmentIndex], excluded: &Chosen) -> Chosen {
        let mut chosen = Chosen::from_elem(false, cycle.len());
        let among = |choice: &Chosen, segment: SegmentIndex| match cycle.iter().position(|member| *member == segment) {
            Some(at) => choice[at],
            None => self.is_member(segment),
        };
        loop {
            let before = chosen.clone();
            for (at, segment) in cycle.iter().enumerate() {
                let decide = |segment| {
                    self.decide(segment, &|segment| among(&before, segment), &|segment| among(excluded, segment))
                };
                chosen[at] = before[at] || self.segment(*segment).is_some_and(decide);
            }
            if chosen == before {
                return chosen;
            }
        }
    }

    /// Whether the user is a member of a segment, by who is `included` in others and who is `excluded` for being in them.
    fn decide(
        &self,
        segment: &Segment,
        included: &impl Fn(SegmentIndex) -> bool,
        excluded: &impl Fn(SegmentIndex) -> bool,
    ) -> bool {
        segment.parents.iter().all(|parent| included(*parent))
            && !segment.exclusions.iter().any(|exclusion| excluded(*exclusion))
            && match &segment.test {
                MemberTest::Nobody => false,
                MemberTest::Rules(rules) => rules.hold(self),
                MemberTest::Composite(expression, rules) => {
                    expression.holds(&|segment| included(*segment), &|segment| excluded(*segment)) && rules.hold(self)
                }
                MemberTest::Live(rules) => self.context.attribute(ACTIVITY).is_some() && rules.hold(self),
                MemberTest::Predicted(model, accept, rules) => {
                    rules.hold(self) && accept.accepts(&model.predict(&|name| self.context.attribute(name)))
                }
            }
    }
}

/// Which segments of a cycle are chosen.
type Chosen = SmallVec<[bool; 16]>;
