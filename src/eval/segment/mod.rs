//! Segments: named sets of users, decided from what is known of one user, without asking anybody.

mod compile;
mod expression;

use std::{cell::RefCell, sync::Arc};

use smallvec::SmallVec;

use super::condition::{Condition, Truth};
use crate::{
    model::Context,
    predict::{Prediction, Predictor},
};

pub use compile::{CompiledSegment as Compilation, SegmentNames, compile, references};
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
///
/// Invariant: a segment that evaluation looks at through this one never leads back to it; the compiler sees to that.
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

    /// Leaves the segment without members, whatever its document says.
    pub(crate) fn close(&mut self) {
        self.test = MemberTest::Nobody;
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
    /// Each with its weight; `None`: it cannot hold.
    rules: Box<[(Option<Condition>, f64)]>,
    /// So much weight must hold; `None`: all rules.
    min_score: Option<f64>,
}

impl Rules {
    fn hold(&self, scope: &Scope<'_>) -> bool {
        let holds = |rule: &Option<Condition>| rule.as_ref().is_some_and(|rule| rule.test(scope) == Truth::Yes);
        match self.min_score {
            None => self.rules.iter().all(|(rule, _)| holds(rule)),
            Some(least) => self.rules.iter().filter(|(rule, _)| holds(rule)).map(|(_, weight)| weight).sum::<f64>() >= least,
        }
    }
}

/// The attribute that is there while something is known of what the user is doing.
const ACTIVITY: &str = "activity";

/// Whom an evaluation is for, and what was found out of the user's segments so far.
///
/// Invariant: each segment is decided at most once.
pub(crate) struct Scope<'a> {
    pub(crate) context: Context<'a>,
    segments: &'a [Option<Arc<Segment>>],
    /// Two bits for each segment: whether it was decided, and how. Empty until one is asked for.
    decided: RefCell<SmallVec<[u64; 8]>>,
}

/// Segments whose answers fit into one word.
const PER_WORD: usize = 32;

impl<'a> Scope<'a> {
    pub(crate) fn new(context: Context<'a>, segments: &'a [Option<Arc<Segment>>]) -> Self {
        Self { context, segments, decided: RefCell::default() }
    }

    /// What a segment is called.
    pub(crate) fn name(&self, segment: SegmentIndex) -> Option<&'a str> {
        Some(&*self.segments.get(segment.position())?.as_ref()?.id)
    }

    /// Whether the user is a member of a segment; of one that was removed, nobody is.
    pub(crate) fn is_member(&self, segment: SegmentIndex) -> bool {
        let Some(compiled) = self.segments.get(segment.position()).and_then(Option::as_deref) else { return false };
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
        let is_member = self.decide(compiled);
        self.decided.borrow_mut()[word] |= (1 | u64::from(is_member) << 1) << shift;
        is_member
    }

    fn decide(&self, segment: &Segment) -> bool {
        segment.parents.iter().all(|parent| self.is_member(*parent))
            && !segment.exclusions.iter().any(|exclusion| self.is_member(*exclusion))
            && match &segment.test {
                MemberTest::Nobody => false,
                MemberTest::Rules(rules) => rules.hold(self),
                MemberTest::Composite(expression, rules) => {
                    expression.holds(&|segment| self.is_member(*segment)) && rules.hold(self)
                }
                MemberTest::Live(rules) => self.context.attribute(ACTIVITY).is_some() && rules.hold(self),
                MemberTest::Predicted(model, accept, rules) => {
                    rules.hold(self) && accept.accepts(&model.predict(&|name| self.context.attribute(name)))
                }
            }
    }
}
