//! Why a call failed.

/// Why a call failed. It never shows more of a URL than host and port: the rest may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The URL cannot be used.
    #[error("this is not an http or https URL without a user and with a host")]
    Url,
    /// The host is not listed.
    #[error("{host} is not listed in `outbound.allow`")]
    NotAllowed {
        /// Host and port.
        host: String,
    },
    /// The host leads to no address that may be called.
    #[error("{host} leads to an address that must not be called; see `outbound.networks`")]
    Forbidden {
        /// Host and port.
        host: String,
    },
    /// The host's name means nothing.
    #[error("failed to resolve {host}: {source}")]
    Resolve {
        /// Host and port.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error("failed to connect to {host}: {source}")]
    Connect {
        /// Host and port.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// What was said there was not HTTP, or it was broken off.
    #[error("the exchange with {host} broke off: {source}")]
    Exchange {
        /// Host and port.
        host: String,
        /// Why.
        source: hyper::Error,
    },
    /// It answered with a redirect.
    #[error("{host} answered {status}; redirects are not followed")]
    Redirect {
        /// Host and port.
        host: String,
        /// The status.
        status: u16,
    },
    /// The answer is too large.
    #[error("the answer of {host} is larger than a mebibyte")]
    TooLarge {
        /// Host and port.
        host: String,
    },
    /// It took too long.
    #[error("{host} did not answer within {seconds} s")]
    Timeout {
        /// Host and port.
        host: String,
        /// The time.
        seconds: u64,
    },
    /// What it asks for cannot be read.
    #[error("failed to read the credentials for {place}: {source}")]
    Credentials {
        /// Scheme, host and port.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is no TLS.
    #[error("failed to prepare TLS: {0}")]
    Tls(String),
}

impl OutboundError {
    /// Whether it may be worth another try.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Exchange { .. }
            | Self::Timeout { .. }
            | Self::Credentials { .. } => true,
            Self::Url
            | Self::NotAllowed { .. }
            | Self::Forbidden { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::Tls(_) => false,
        }
    }
}
