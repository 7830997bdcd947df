//! Events: what flags gave whom, and what happened to flags, deployments, kill switches, segments and requests, for what is
//! outside to read.
//!
//! On the way of a request an [`Events`] notes which flags a user saw for the first time in a while ([`Seen`]), and hands
//! that to a bounded queue. A task of the control plane makes batches of it and gives them to each sink by a bounded queue of
//! its own, so that one that is down holds up neither the others nor a request: what finds no place is dropped and counted.

mod batch;
mod event;
mod file;
mod metrics;
mod outlet;
mod queue;
mod seen;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use smallvec::SmallVec;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::{
    outlet::Outlet,
    queue::{Exposed, Exposures, Message, Queue},
    seen::{Noted, Seen},
};
use super::{Action, Evaluated, Observed, ObservedFlag, Observer, Privacy, limit::Limit};
use crate::config::{self, SessionSource};

pub use batch::{Batch, LINGER, MOST_EVENTS};
pub use event::{Event, EventKind, Happening, Origin};
pub use file::FileSink;
pub use metrics::EventMetrics;
pub use outlet::{EventSink, SinkError};

/// Where events are given in. A clone is the same.
#[derive(Clone, Debug)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seen: Arc<Seen>,
    queue: Queue,
    errors: Limit,
    session: Option<SessionSource>,
}

/// What runs until the last event is delivered.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Events {
    /// Starts to give events to these sinks; where there are none, there are no events. Needs a tokio runtime.
    #[must_use]
    pub fn start(
        config: &config::Events,
        origin: Origin,
        privacy: Privacy,
        sinks: Vec<Arc<dyn EventSink>>,
        metrics: &EventMetrics,
    ) -> Option<(Self, Running)> {
        if sinks.is_empty() {
            return None;
        }
        let stop = CancellationToken::new();
        let seen = Arc::new(Seen::new(config.exposure_entries, config.exposure_window));
        let (queue, waiting) = Queue::new(config.memory, metrics.clone());
        let mut tasks = Vec::new();
        let mut outlets = Vec::new();
        for sink in sinks {
            let (outlet, task) = Outlet::start(sink, config.memory, metrics, Arc::clone(&seen), stop.clone());
            outlets.push(outlet);
            tasks.push(task);
        }
        let batching = batch::Batching { origin, privacy, outlets, stop: stop.clone() };
        tasks.push(tokio::spawn(batching.run(waiting)));
        let errors = Limit::new(config.errors_per_second);
        let inner = Inner { seen, queue, errors, session: config.session_id.clone() };
        Some((Self(Arc::new(inner)), Running { stop, tasks }))
    }

    /// Tells that something happened. Never waits; what finds no place is counted.
    pub fn happened(&self, happening: Happening) {
        self.0.queue.push(Message::Happening(Box::new(happening)));
    }

    /// Tells which flags a user was given, of those that were not told of this user lately.
    fn expose(
        &self,
        flags: &[ObservedFlag<'_>],
        user_id: &str,
        about: impl FnOnce(SmallVec<[Exposed; 2]>) -> Exposures,
    ) {
        let Inner { seen, queue, .. } = &*self.0;
        let visit = seen.visit(user_id);
        let (mut exposed, mut places) = (SmallVec::new(), SmallVec::<[_; 4]>::new());
        for flag in flags {
            match seen.note(visit, flag.key, flag.variation) {
                Noted::Known => {}
                Noted::New(place) => {
                    places.extend(place);
                    exposed.push(Exposed::of(flag));
                }
            }
        }
        // What got no place is no secret to the next request.
        if !exposed.is_empty() && !queue.push(Message::Exposures(Box::new(about(exposed)))) {
            places.into_iter().for_each(|place| seen.forget(place));
        }
    }
}

impl Observer for Events {
    fn request(&self, request: &Observed<'_>) {
        let session = || self.0.session.as_ref().and_then(|source| session_id(source, request.headers));
        if let Some(user_id) = request.user_id.filter(|_| !request.flags.is_empty()) {
            self.expose(request.flags, user_id, |flags| Exposures {
                time: request.time,
                user_id: user_id.into(),
                session_id: session().map(Into::into),
                request_id: Some(request.request_id.into()),
                revision: request.revision,
                route: request.route.cloned(),
                upstream: request.upstream.cloned(),
                strategy: request.strategy,
                all: false,
                flags,
            });
        }
        if request.is_error == Some(true)
            && let Some(passed_over) = self.0.errors.take(request.time)
        {
            self.happened(error(request, session(), passed_over));
        }
    }

    fn evaluated(&self, evaluated: &Evaluated<'_>) {
        let Some(user_id) = evaluated.user_id else { return };
        self.expose(evaluated.flags, user_id, |flags| Exposures {
            time: evaluated.time,
            user_id: user_id.into(),
            session_id: None,
            request_id: None,
            revision: evaluated.revision,
            route: None,
            upstream: None,
            strategy: None,
            all: evaluated.all,
            flags,
        });
    }

    /// With a value it is a figure, without one something that was done: one event, so that nothing counts twice.
    fn acted(&self, action: &Action<'_>) {
        let mut data = Map::new();
        data.insert("event".to_owned(), action.event.into());
        if let Some(value) = action.value {
            data.insert("value".to_owned(), value.into());
        }
        if let Some(properties) = action.properties {
            data.insert("properties".to_owned(), Value::Object(properties.clone()));
        }
        let kind = if action.value.is_some() { EventKind::MetricRecorded } else { EventKind::UserAction };
        self.happened(Happening::new(kind, action.time, data).of(action.user_id));
    }
}

impl Running {
    /// Gives what waits to the sinks, once more each, for at most so long. No event may be given in any more.
    pub async fn end(self, within: Duration) {
        self.stop.cancel();
        let all = futures_util::future::join_all(self.tasks);
        if tokio::time::timeout(within, all).await.is_err() {
            log::warn!("events: no time for the last ones");
        }
    }
}

/// A request that its upstream failed.
fn error(request: &Observed<'_>, session_id: Option<&str>, passed_over: u64) -> Happening {
    let mut data = Map::new();
    let mut say = |name: &str, value: Value| {
        if !value.is_null() {
            data.insert(name.to_owned(), value);
        }
    };
    say("error", request.failure.unwrap_or("status").into());
    say("status", request.status.into());
    say("route", request.route.map(|route| &**route).into());
    say("strategy", request.strategy.into());
    say("upstream", request.upstream.map(|upstream| &**upstream).into());
    say("endpoint", request.endpoint.map(|endpoint| &**endpoint).into());
    say("revision", request.revision.into());
    let flags = request.flags.iter().map(|flag| ((**flag.key).to_owned(), Value::from(flag.variation)));
    say("flags", Value::Object(flags.collect()));
    say("passed_over", passed_over.into());
    let happening = Happening::new(EventKind::ErrorOccurred, request.time, data);
    Happening {
        user_id: request.user_id.map(Into::into),
        session_id: session_id.map(Into::into),
        request_id: Some(request.request_id.into()),
        ..happening
    }
}

/// The session's id as the request says it.
fn session_id<'h>(source: &SessionSource, headers: &'h http::HeaderMap) -> Option<&'h str> {
    /// The longest that is taken.
    const LONGEST: usize = 256;
    let found = match source {
        SessionSource::Header(name) => headers.get(name)?.to_str().ok()?,
        SessionSource::Cookie(name) => {
            let cookies = headers.get_all(http::header::COOKIE).iter().filter_map(|value| value.to_str().ok());
            let mut pairs =
                cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(known, _)| known == name)?.1
        }
    };
    Some(found).filter(|id| !id.is_empty() && id.len() <= LONGEST)
}
