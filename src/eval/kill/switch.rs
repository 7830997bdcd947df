//! A kill switch, checked.

use std::{sync::Arc, time::Duration};

use crate::model::KillStatus;

/// What a switch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillScope {
    /// Everything, everywhere.
    Global,
    /// What passes through the gateways of one region.
    Region,
    /// Routes and upstreams.
    Service,
    /// The members of segments.
    UserSegment,
    /// Flags, by key or tag.
    Feature,
}

impl KillScope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Global, Self::Region, Self::Service, Self::UserSegment, Self::Feature];

    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Region => "region",
            Self::Service => "service",
            Self::UserSegment => "user_segment",
            Self::Feature => "feature",
        }
    }

    /// Whether it is about everything where the switch lists nothing.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        match self {
            Self::Global | Self::Region | Self::UserSegment => true,
            Self::Service | Self::Feature => false,
        }
    }
}

/// Flags that a switch names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affected {
    /// The flag of this key.
    Flag(Arc<str>),
    /// All flags with this tag.
    Tag(Arc<str>),
}

impl Affected {
    /// What makes an entry a tag.
    pub const TAG: &'static str = "tag:";

    /// Reads an entry of `affected_features`: a key, or `tag:` and a tag. `None`: it is empty.
    #[must_use]
    pub fn parse(entry: &str) -> Option<Self> {
        let (name, make): (_, fn(Arc<str>) -> Self) = match entry.strip_prefix(Self::TAG) {
            Some(tag) => (tag, Self::Tag),
            None => (entry, Self::Flag),
        };
        (!name.trim().is_empty()).then(|| make(name.into()))
    }
}

/// When a breaker opens and closes.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaking {
    /// The share of errors, in percent, from which it opens.
    pub error_threshold: f64,
    /// Requests that take longer are slow.
    pub latency_threshold: Option<Duration>,
    /// So many requests must have come.
    pub volume_threshold: u64,
    /// Whether errors in a row open it as well.
    pub is_circuit: bool,
    /// So many errors in a row.
    pub failure_count_threshold: u64,
    /// So many successes close it.
    pub success_count_threshold: u64,
    /// After how long it is half open.
    pub timeout: Duration,
    /// How many requests are let through then.
    pub half_open_requests: u64,
}

/// How a switch recovers.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovering {
    /// Whether it does so by itself.
    pub is_automatic: bool,
    /// How long after it was triggered.
    pub delay: Duration,
    /// The shares of the users, in percent, who are let through, one after the other. The last may be below 100.
    pub steps: Vec<f64>,
    /// How long each step is watched.
    pub step: Duration,
}

/// A kill switch, as evaluation and the gateway see it.
#[derive(Clone, Debug, PartialEq)]
pub struct KillSwitch {
    /// Its id.
    pub id: Arc<str>,
    /// What it is about.
    pub scope: KillScope,
    /// The flags that it names.
    pub features: Box<[Affected]>,
    /// The routes and upstreams that it names.
    pub services: Box<[Arc<str>]>,
    /// The one region in which it applies; none: everywhere.
    pub region: Option<Arc<str>>,
    /// The segments to whose members it applies; none: to everybody.
    pub segments: Option<Box<[Arc<str>]>>,
    /// Whether flags with the tag `critical` are spared.
    pub exempts_critical: bool,
    /// When a breaker triggers it; none: people alone do.
    pub breaking: Option<Breaking>,
    /// How it recovers.
    pub recovering: Recovering,
    /// Where it tells what it does.
    pub channels: Vec<String>,
    /// Whether it kills.
    pub status: KillStatus,
}

impl KillSwitch {
    /// The tag that spares a flag.
    pub const CRITICAL: &'static str = "critical";

    /// Whether it is about every flag.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.scope.is_whole() && self.features.is_empty() && self.services.is_empty()
    }

    /// Whether it is about a flag.
    #[must_use]
    pub fn selects(&self, key: &str, tags: &[Arc<str>]) -> bool {
        let has = |tag: &str| tags.iter().any(|own| **own == *tag);
        let names = |affected: &Affected| match affected {
            Affected::Flag(named) => **named == *key,
            Affected::Tag(tag) => has(tag),
        };
        (self.takes_all() || self.features.iter().any(names)) && !(self.exempts_critical && has(Self::CRITICAL))
    }

    /// Whether it applies in a region.
    #[must_use]
    pub fn is_here(&self, region: Option<&str>) -> bool {
        self.region.as_deref().is_none_or(|own| Some(own) == region)
    }
}
