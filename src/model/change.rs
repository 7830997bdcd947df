//! What the store holds and how it changes.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The kinds of documents that make up the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// A trained model, which segments ask.
    MlModel,
    /// A named set of users.
    Segment,
    /// A feature flag.
    Flag,
    /// What forces flags to their default while it is triggered.
    KillSwitch,
    /// A progressive delivery, and how far it is.
    Deployment,
}

impl DocumentKind {
    /// Every kind, in the order in which documents are compiled.
    pub const ALL: [Self; 5] = [Self::MlModel, Self::Segment, Self::Flag, Self::KillSwitch, Self::Deployment];

    /// The name in keys, messages and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MlModel => "ml_model",
            Self::Segment => "segment",
            Self::Flag => "flag",
            Self::KillSwitch => "kill_switch",
            Self::Deployment => "deployment",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Names one document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DocumentKey {
    /// What it is.
    pub kind: DocumentKind,
    /// Its key within the kind.
    pub key: Arc<str>,
}

impl DocumentKey {
    /// The flag `key`.
    #[must_use]
    pub fn flag(key: impl Into<Arc<str>>) -> Self {
        Self { kind: DocumentKind::Flag, key: key.into() }
    }

    /// The segment `id`.
    #[must_use]
    pub fn segment(id: impl Into<Arc<str>>) -> Self {
        Self { kind: DocumentKind::Segment, key: id.into() }
    }

    /// The model `id`.
    #[must_use]
    pub fn model(id: impl Into<Arc<str>>) -> Self {
        Self { kind: DocumentKind::MlModel, key: id.into() }
    }

    /// The kill switch `id`.
    #[must_use]
    pub fn kill_switch(id: impl Into<Arc<str>>) -> Self {
        Self { kind: DocumentKind::KillSwitch, key: id.into() }
    }

    /// The deployment `id`.
    #[must_use]
    pub fn deployment(id: impl Into<Arc<str>>) -> Self {
        Self { kind: DocumentKind::Deployment, key: id.into() }
    }
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {:?}", self.kind, self.key)
    }
}

/// What happened to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Created,
    /// It was there before.
    Updated,
    /// It is gone.
    Deleted,
}

/// A document as it now is in the store: its JSON text, or `None` when it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which document.
    pub document: DocumentKey,
    /// Its text; not yet parsed, so it may be anything.
    pub text: Option<Arc<str>>,
}
