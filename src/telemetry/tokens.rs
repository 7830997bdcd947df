//! How JSON Web Tokens of requests fared.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::metrics::register;

/// How a token fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOutcome {
    /// It is good.
    Verified,
    /// It is no JSON Web Token, or lacks a claim that it needs.
    Malformed,
    /// It is longer than what is looked at.
    TooLong,
    /// The header that holds it is there more than once.
    Repeated,
    /// It is signed by what is not allowed, or not at all.
    Algorithm,
    /// There is no such key.
    UnknownKey,
    /// Its signature is wrong.
    Signature,
    /// It holds no more.
    Expired,
    /// It does not hold yet.
    NotYetValid,
    /// Its issuer is not believed.
    Issuer,
    /// It is for somebody else.
    Audience,
}

impl TokenOutcome {
    /// Every outcome; the position of each is its discriminant.
    pub const ALL: [Self; 11] = [
        Self::Verified,
        Self::Malformed,
        Self::TooLong,
        Self::Repeated,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Expired,
        Self::NotYetValid,
        Self::Issuer,
        Self::Audience,
    ];

    /// The label of the metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Repeated => "repeated",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
        }
    }
}

/// Counts how tokens fared.
#[derive(Clone, Debug)]
pub struct TokenMetrics([IntCounter; TokenOutcome::ALL.len()]);

impl TokenMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let tokens = Opts::new("flaggate_jwt_tokens_total", "JSON Web Tokens of requests by how they fared.");
        let tokens = register(registry, IntCounterVec::new(tokens, &["result"]));
        Self(TokenOutcome::ALL.map(|outcome| tokens.with_label_values(&[outcome.as_str()])))
    }

    /// Counts one token.
    pub fn count(&self, outcome: TokenOutcome) {
        self.0[outcome as usize].inc();
    }
}
