//! What is known of a request when it is over, for who wants to tell of it, and of what applications ask
//! and say: exposures, analytics, traces, live decisions.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::model::{Detail, Reason};

/// A request that is over. Everything is borrowed: who keeps something copies it.
#[derive(Debug)]
pub struct Observed<'a> {
    /// When its header had been read.
    pub time: Timestamp,
    /// From the header to the end of the response.
    pub duration: Duration,
    /// From choosing the last endpoint to its response's header.
    pub upstream_duration: Option<Duration>,
    /// Its id, as the upstream saw it.
    pub request_id: &'a str,
    /// The method.
    pub method: &'a http::Method,
    /// The request's headers, as they came, but for what the path and host were made.
    pub headers: &'a http::HeaderMap,
    /// The path without the query.
    pub path: &'a str,
    /// The status of the response; none where the client went away before there was one.
    pub status: Option<u16>,
    /// Whether it ended in an error of its upstream; none: its end says nothing about the upstream.
    pub is_error: Option<bool>,
    /// What went wrong, in one word.
    pub failure: Option<&'static str>,
    /// The route, if one matched.
    pub route: Option<&'a Arc<str>>,
    /// The strategy that chose the upstream.
    pub strategy: Option<&'static str>,
    /// The upstream.
    pub upstream: Option<&'a Arc<str>>,
    /// The endpoint that was tried last.
    pub endpoint: Option<&'a Arc<str>>,
    /// Who asked; none: nobody known.
    pub user_id: Option<&'a str>,
    /// The revision of the flags.
    pub revision: Option<u64>,
    /// The flags that were evaluated for it, in their order.
    pub flags: &'a [ObservedFlag<'a>],
}

/// What one flag gave.
#[derive(Clone, Copy, Debug)]
pub struct ObservedFlag<'a> {
    /// The flag's key.
    pub key: &'a Arc<str>,
    /// The variation.
    pub variation: &'a str,
    /// The step that decided.
    pub reason: Reason,
    /// What qualifies the reason.
    pub detail: Option<Detail>,
}

/// Flags that an application asked for over the API.
#[derive(Debug)]
pub struct Evaluated<'a> {
    /// When.
    pub time: Timestamp,
    /// For whom; none: nobody known.
    pub user_id: Option<&'a str>,
    /// The revision of the flags.
    pub revision: Option<u64>,
    /// Whether all flags were asked for: that says nothing of which of them are used.
    pub all: bool,
    /// What they gave.
    pub flags: &'a [ObservedFlag<'a>],
}

/// Something that a user did, as an application says.
#[derive(Debug)]
pub struct Action<'a> {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub user_id: &'a str,
    /// What, in a word that the application chose.
    pub event: &'a str,
    /// How much it is worth.
    pub value: Option<f64>,
    /// What else is said of it.
    pub properties: Option<&'a serde_json::Map<String, serde_json::Value>>,
}

/// Who is told of each request when it is over, in the thread that served it, and of what applications ask and say. What
/// it does must not wait, and should not take a lock that others hold for long.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Whether it wants to be told of requests now. Asked as each begins, and as it ends.
    fn is_wanted(&self) -> bool {
        true
    }

    /// A request to the gateway is over.
    fn request(&self, request: &Observed<'_>) {
        let _ = request;
    }

    /// An application asked for flags.
    fn evaluated(&self, evaluated: &Evaluated<'_>) {
        let _ = evaluated;
    }

    /// A user did something.
    fn acted(&self, action: &Action<'_>) {
        let _ = action;
    }
}

/// All who are told. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    /// These.
    #[must_use]
    pub fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers.into())
    }

    /// Whether there is nobody to be told anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anybody wants to be told of requests.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.iter().any(|observer| observer.is_wanted())
    }

    /// Tells of a request everybody who wants to know.
    pub fn request(&self, request: &Observed<'_>) {
        self.0.iter().filter(|observer| observer.is_wanted()).for_each(|observer| observer.request(request));
    }

    /// Tells everybody which flags were asked for.
    pub fn evaluated(&self, evaluated: &Evaluated<'_>) {
        self.0.iter().for_each(|observer| observer.evaluated(evaluated));
    }

    /// Tells everybody what a user did.
    pub fn acted(&self, action: &Action<'_>) {
        self.0.iter().for_each(|observer| observer.acted(action));
    }
}
