//! Documents as they came, and their last good versions.

use std::{collections::BTreeMap, sync::Arc};

use crate::model::{Action, Effect, Fault};

/// One document, as it came, and its last good version.
#[derive(Debug)]
pub(super) struct Source<D> {
    pub(super) text: Arc<str>,
    pub(super) latest: Result<Arc<D>, Vec<Fault>>,
    pub(super) good: Option<(Arc<str>, Arc<D>)>,
}

impl<D> Source<D> {
    /// The latest version is good.
    pub(super) fn keep(&mut self) {
        if let Ok(latest) = &self.latest {
            self.good = Some((Arc::clone(&self.text), Arc::clone(latest)));
        }
    }

    /// The text of the last good version.
    pub(super) fn good_text(&self) -> Option<&Arc<str>> {
        self.good.as_ref().map(|(text, _)| text)
    }
}

/// Takes one document in; says what that was, if it was anything.
pub(super) fn take<D>(
    sources: &mut BTreeMap<Arc<str>, Source<D>>,
    id: &Arc<str>,
    text: Option<&Arc<str>>,
    read: impl FnOnce(&str) -> Result<Arc<D>, Vec<Fault>>,
) -> Option<Action> {
    let Some(text) = text else { return sources.remove(id).map(|_| Action::Deleted) };
    let earlier = sources.get_mut(id);
    if earlier.as_ref().is_some_and(|source| source.text == *text) {
        return None;
    }
    let latest = read(text);
    match earlier {
        Some(source) => {
            (source.text, source.latest) = (Arc::clone(text), latest);
            Some(Action::Updated)
        }
        None => {
            sources.insert(Arc::clone(id), Source { text: Arc::clone(text), latest, good: None });
            Some(Action::Created)
        }
    }
}

/// What is wrong with a document that is stored under another name than its own.
pub(super) fn misnamed(named: &str, id: &str) -> Fault {
    let message = format!("the document names itself {named:?} but is stored as {id:?}");
    Fault { pointer: "/id".to_owned(), message, effect: Effect::Quarantined }
}
