//! What became of a request, as metrics tell it.

/// The hundreds of a response's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CodeClass {
    /// 1xx: an upgraded connection.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// No response was sent: the client went away.
    None,
}

impl CodeClass {
    /// Every class; the position of each is its `index`.
    pub const ALL: [Self; 6] =
        [Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError, Self::None];

    /// The position in [`CodeClass::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The class of a status; none where no response was sent.
    #[must_use]
    pub fn of(status: Option<u16>) -> Self {
        match status {
            Some(100..=199) => Self::Informational,
            Some(200..=299) => Self::Success,
            Some(300..=399) => Self::Redirection,
            Some(400..=499) => Self::ClientError,
            Some(_) => Self::ServerError,
            None => Self::None,
        }
    }

    /// The value of the label `code_class`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::None => "none",
        }
    }
}
