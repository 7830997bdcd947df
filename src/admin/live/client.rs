//! What one client wants, and how far it is.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    hub::{Changed, Hub, Next},
    message::{Keys, Kind, Update},
    state::State,
};
use crate::model::WorldRevision;

/// One client's way through the changes.
#[derive(Debug)]
pub(super) struct Client {
    /// The change that it comes to next.
    pub(super) at: u64,
    wants: Wants,
}

#[derive(Debug)]
enum Wants {
    /// Every flag, in the existing service's words: it never said what it wants.
    Plain,
    Chosen(BTreeMap<Kind, Subscription>),
}

#[derive(Debug)]
struct Subscription {
    keys: Keys,
    /// What it was shown at first; earlier changes are part of that.
    shown: Option<WorldRevision>,
}

/// What there is for a client.
#[derive(Debug)]
pub(super) enum Found {
    /// These updates of a change, by position. With `true` they are told in the existing service's words.
    Updates(Arc<Changed>, Vec<usize>, bool),
    /// There was nothing before: it has to be shown everything that it subscribed to.
    Everything(Vec<(Kind, Keys)>),
    /// Nothing new.
    Nothing,
    /// It is too far behind.
    TooFar,
}

impl Client {
    /// A client that wants everything from now on.
    pub(super) fn plain(hub: &Hub) -> Self {
        Self { at: hub.head(), wants: Wants::Plain }
    }

    /// A client that wants nothing until it subscribes.
    pub(super) fn choosy(at: u64) -> Self {
        Self { at, wants: Wants::Chosen(BTreeMap::new()) }
    }

    /// Subscribes; `state` is what it is shown first, and was read after the client came to where it is.
    pub(super) fn subscribe(&mut self, kind: Kind, keys: Keys, state: Option<&State>) {
        if matches!(self.wants, Wants::Plain) {
            self.wants = Wants::Chosen(BTreeMap::new());
        }
        let Wants::Chosen(chosen) = &mut self.wants else { return };
        chosen.insert(kind, Subscription { keys, shown: state.and_then(|state| state.revision.clone()) });
    }

    /// Subscribes no more. Who never subscribed hears nothing then.
    pub(super) fn unsubscribe(&mut self, kinds: &[Kind]) {
        match &mut self.wants {
            Wants::Plain => self.wants = Wants::Chosen(BTreeMap::new()),
            Wants::Chosen(chosen) => chosen.retain(|kind, _| !kinds.contains(kind)),
        }
    }

    /// What there is for it; it then stands behind that.
    pub(super) fn take(&mut self, hub: &Hub) -> Found {
        loop {
            let (changed, told) = match hub.next(self.at, |changed, update| self.wants.includes(changed, update)) {
                Next::Step(changed, told) => (changed, told),
                Next::Nothing => return Found::Nothing,
                Next::TooFar => return Found::TooFar,
            };
            self.at += 1;
            match &self.wants {
                Wants::Chosen(chosen) if changed.is_first() && !chosen.is_empty() => {
                    return Found::Everything(chosen.iter().map(|(kind, own)| (*kind, own.keys.clone())).collect());
                }
                Wants::Plain | Wants::Chosen(_) if told.is_empty() => {}
                Wants::Plain => return Found::Updates(changed, told, true),
                Wants::Chosen(_) => return Found::Updates(changed, told, false),
            }
        }
    }
}

impl Wants {
    fn includes(&self, changed: &Changed, update: &Update) -> bool {
        let Self::Chosen(chosen) = self else { return update.kind == Kind::Flags };
        chosen.get(&update.kind).is_some_and(|own| {
            own.keys.as_ref().is_none_or(|keys| keys.contains(&*update.document.key))
                && !own.shown.as_ref().zip(changed.revision()).is_some_and(|(shown, revision)| shown.has(revision))
        })
    }
}
