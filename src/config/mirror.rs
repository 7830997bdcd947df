//! `mirror` of a route: copies of its requests that an upstream gets whose answers nobody sees.

use std::{sync::Arc, time::Duration};

use http::Method;

use super::{
    UpstreamIndex,
    keys::{Kind, REQUIRED, Section, key},
};

/// Which requests of a route are copied, and where the copies go.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Requests of users for whom this flag is on are copied.
    pub flag: Arc<str>,
    /// Who gets the copies.
    pub upstream: UpstreamIndex,
    /// Of how many of these users, out of a hundred. Default 100.
    pub percent: u64,
    /// Which methods are copied. Default GET and HEAD.
    pub methods: Vec<Method>,
    /// Whether the bodies of the answers are compared. Default false.
    pub body_hash: bool,
    /// Whether copies carry `Cookie` and `Authorization`. Default false.
    pub credentials: bool,
    /// How long a copy may take, from connecting to the end of its answer. Default 5 s.
    pub timeout: Duration,
    /// How many copies may be on their way at once; further ones are not made. Default 64.
    pub max_in_flight: usize,
}

pub(super) static MIRROR: Section = Section {
    keys: &[
        key("flag", Kind::Text, REQUIRED, "requests of users for whom it is on are copied"),
        key("upstream", Kind::Text, REQUIRED, "who gets the copies"),
        key("percent", Kind::Integer(1, 100), "100", "of how many of these users, out of a hundred"),
        key(
            "methods",
            Kind::List(&Kind::Text),
            "[\"GET\", \"HEAD\"]",
            "which methods are copied; one that changes something does so twice, unless the upstream knows copies",
        ),
        key("body_hash", Kind::Boolean, "false", "whether the bodies of the answers are compared"),
        key("credentials", Kind::Boolean, "false", "whether copies carry `Cookie` and `Authorization`"),
        key("timeout", Kind::Duration, "\"5s\"", "how long a copy may take in all"),
        key(
            "max_in_flight",
            Kind::Integer(1, 10_000),
            "64",
            "copies that may be on their way at once; further ones are not made",
        ),
    ],
    later: &[],
};
