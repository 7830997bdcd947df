//! The condition that a user is in segments: in those that the request says, or in those that are decided here.

use serde_json::{Value, json};

use super::{
    condition::{Test, Truth, truth},
    operator::Operator,
    segment::{Scope, SegmentIndex, SegmentNames},
};
use crate::model::Attribute;

/// An operator on the set of the user's segments.
#[derive(Debug)]
pub(crate) struct MembershipTest {
    /// The test of the segments that the request says.
    said: Test,
    decided: Decided,
    /// Names that were meant as segments and are none.
    unknown: Box<[Box<str>]>,
}

/// The segments to decide, and what they have to be for the test to pass.
#[derive(Debug)]
enum Decided {
    /// One of these, those whose names pass the operator.
    Any(Box<[SegmentIndex]>),
    /// Each of these names; a name that is no segment can only be said.
    All(Box<[(Box<str>, Option<SegmentIndex>)]>),
    /// Whether the user is in any segment at all.
    Exists(bool, Box<[SegmentIndex]>),
}

impl MembershipTest {
    /// `explicit`: the operator says that its values are segments, so that a name which is none is a fault.
    pub(super) fn new(said: Test, explicit: bool, segments: &SegmentNames) -> Self {
        let passing = |passes: &dyn Fn(&str) -> bool| {
            let mut passing: Vec<SegmentIndex> =
                segments.iter().filter(|(name, _)| passes(name)).map(|(_, segment)| *segment).collect();
            passing.sort_unstable();
            passing.into_boxed_slice()
        };
        let named = |values: &[Value]| {
            let names = values.iter().filter_map(Value::as_str);
            names.map(|name| (name.into(), segments.get(name).copied())).collect::<Box<[(Box<str>, Option<_>)]>>()
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other operator looks at one name at a time")]
        let (decided, values) = match &said.operator {
            Operator::AllOf(values) => (Decided::All(named(values)), values.as_slice()),
            Operator::Exists(wanted) => (Decided::Exists(*wanted, passing(&|_| true)), &[][..]),
            Operator::AnyOf(values) => {
                let of = |name: &str| values.iter().any(|value| value.as_str() == Some(name));
                (Decided::Any(passing(&of)), values.as_slice())
            }
            Operator::Contains { value, .. } => {
                (Decided::Any(passing(&|name| value.as_str() == Some(name))), std::slice::from_ref(value))
            }
            single => (Decided::Any(passing(&|name| single.test(Attribute::Text(name)) == Some(true))), &[][..]),
        };
        let unknown = named(values).into_iter().filter(|(_, known)| explicit && known.is_none()).map(|(name, _)| name);
        let unknown = unknown.collect();
        Self { said, decided, unknown }
    }

    /// Names that were meant as segments and are none.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &str> {
        self.unknown.iter().map(AsRef::as_ref)
    }

    /// Whether it is about certain segments, and not about any there are.
    pub(super) fn names_segments(&self) -> bool {
        matches!(self.decided, Decided::Any(_) | Decided::All(_))
    }

    /// The segments that have to be decided.
    pub(super) fn segments(&self) -> Vec<SegmentIndex> {
        match &self.decided {
            Decided::Any(segments) | Decided::Exists(_, segments) => segments.to_vec(),
            Decided::All(names) => names.iter().filter_map(|(_, segment)| *segment).collect(),
        }
    }

    pub(super) fn test(&self, scope: &Scope<'_, '_>) -> Truth {
        self.passed(scope).map_or(self.said.otherwise, |passed| truth(passed != self.said.negated))
    }

    fn passed(&self, scope: &Scope<'_, '_>) -> Option<bool> {
        match &self.decided {
            Decided::Any(segments) => match self.said.passed(&scope.context) {
                Some(true) => Some(true),
                said => segments.iter().any(|segment| scope.is_member(*segment)).then_some(true).or(said),
            },
            Decided::All(names) => {
                let said = self.said.seen(&scope.context);
                let is_said = |name: &str| said.is_some_and(|said| says(said, name));
                let is_member =
                    |segment: &Option<SegmentIndex>| segment.is_some_and(|segment| scope.is_member(segment));
                Some(names.iter().all(|(name, segment)| is_said(name) || is_member(segment)))
            }
            Decided::Exists(wanted, segments) => {
                let says_any = match self.said.seen(&scope.context) {
                    None => false,
                    Some(Attribute::Set(members)) => !members.is_empty(),
                    Some(said) => said.as_array().is_none_or(|members| !members.is_empty()),
                };
                Some(*wanted == (says_any || segments.iter().any(|segment| scope.is_member(*segment))))
            }
        }
    }

    /// What was said and what was decided, for explain.
    pub(super) fn trace(&self, scope: &Scope<'_, '_>) -> Value {
        let result = self.test(scope);
        let decided = self.segments().into_iter().filter(|segment| scope.is_member(*segment));
        let decided: Vec<&str> = decided.filter_map(|segment| scope.name(segment)).collect();
        let mut trace = json!({
            "attribute": self.said.attribute,
            "operator": self.said.name,
            "seen": self.said.seen(&scope.context).map_or(Value::Null, Attribute::to_json),
            "member_of": decided,
            "result": result,
        });
        if let (Truth::No | Truth::Unknown, Some(fields)) = (result, trace.as_object_mut()) {
            fields.insert("because".to_owned(), "the user's segments do not match".into());
        }
        trace
    }
}

/// Whether a name is among what the request says.
fn says(said: Attribute<'_>, name: &str) -> bool {
    match said {
        Attribute::Text(text) => text == name,
        Attribute::Set(members) => members.iter().any(|member| member == name),
        Attribute::Json(value) => {
            value.as_array().is_some_and(|members| members.iter().any(|member| member.as_str() == Some(name)))
        }
        Attribute::Bool(_) | Attribute::Integer(_) | Attribute::Float(_) => false,
    }
}
