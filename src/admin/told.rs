//! Tells who observes which flags applications ask for.

use smallvec::SmallVec;

use super::{Admin, flags::evaluate::Asked};
use crate::{
    clock,
    eval::{Evaluation, FlagIndex, Flags as _},
    snapshot::Snapshot,
    telemetry::{Evaluated, ObservedFlag},
};

/// Which flags were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// These.
    Named,
    /// All that there are. Who asks for everything says nothing of what is used.
    All,
}

impl Admin {
    /// Tells what the flags gave that an application was answered with.
    pub(super) fn tell_evaluated(
        &self,
        asked: &Asked,
        snapshot: &Snapshot,
        wanted: Wanted,
        given: &[(FlagIndex, Evaluation<'_>)],
    ) {
        if self.observers.is_empty() || given.is_empty() {
            return;
        }
        let flags = given.iter().filter_map(|(flag, evaluation)| {
            Some(ObservedFlag {
                key: snapshot.get(*flag)?.shared_key(),
                variation: evaluation.variation(),
                reason: evaluation.reason,
                detail: evaluation.detail,
            })
        });
        let flags: SmallVec<[_; 1]> = flags.collect();
        self.observers.evaluated(&Evaluated {
            time: clock::now(),
            user_id: Some(asked.user_id()).filter(|user_id| !user_id.is_empty()),
            revision: snapshot.revision().map(|revision| revision.number),
            all: wanted == Wanted::All,
            flags: &flags,
        });
    }
}
