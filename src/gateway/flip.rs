//! Connections and streams that live long, on routes that end them when their decision changes (`on_flip = "drain"`).
//!
//! Each is watched by a task of its own, which looks whether the snapshot or the configuration is another one, decides anew
//! if so, and ends the connection if its request would go elsewhere by now. Requests that are soon over are not watched.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{
    HeaderValue,
    header::{CONTENT_TYPE, COOKIE},
};
use pingora::{
    http::{RequestHeader, ResponseHeader},
    proxy::Session,
};
use prometheus::IntGauge;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    decide::Tried,
    exchange::Exchange,
    patience::Deadline,
    request::{Prepared, Seen, Taken, Witness},
    routing::{Routing, RoutingCell},
};
use crate::{clock, config::OnFlip, drain::Drain, snapshot::SnapshotCell};

/// How often it is looked whether anything has changed.
const EVERY: Duration = Duration::from_millis(500);

/// The ends of connections are spread over this time, so that their clients do not all come back at once.
const SPREAD: Duration = Duration::from_secs(4);

/// An answer that lasts for so long is watched.
const LONG: Duration = Duration::from_secs(1);

/// Answers of these types are streams.
const STREAMS: [&str; 2] = ["text/event-stream", "application/grpc"];

/// What watchers look at.
#[derive(Clone, Debug)]
pub(super) struct Flips {
    listener: usize,
    cell: SnapshotCell,
    routing: RoutingCell,
    /// What is only decided anew is no request in flight.
    in_flight: Drain,
}

/// A request on a route that ends what lives long.
#[derive(Debug)]
pub(super) struct Flip {
    taken: Taken,
    watch: Option<Watch>,
}

/// The task that watches, ended with this.
#[derive(Debug)]
struct Watch {
    task: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Flip {
    /// Whether the request is to end.
    pub(super) fn is_over(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.is_over.load(Ordering::Relaxed))
    }
}

impl Flips {
    pub(super) fn new(listener: usize, cell: SnapshotCell, routing: RoutingCell) -> Self {
        let gauge = IntGauge::new("decided_anew", "not registered").expect("the name is right");
        Self { listener, cell, routing, in_flight: Drain::new(gauge) }
    }

    /// Remembers a request whose route ends what lives long.
    pub(super) fn remember(&self, taken: Taken, exchange: &mut Exchange) {
        if exchange.routing.config.routes[taken.position].on_flip == OnFlip::Drain {
            exchange.flip = Some(Box::new(Flip { taken, watch: None }));
        }
    }

    /// Watches from the response's header on what will live long.
    pub(super) fn see_header(&self, session: &Session, response: &ResponseHeader, exchange: &mut Exchange) {
        if exchange.flip.is_none() {
            return;
        }
        let kind = response.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if response.status == http::StatusCode::SWITCHING_PROTOCOLS
            || STREAMS.iter().any(|stream| kind.starts_with(stream))
        {
            self.watch(session.req_header(), Deadline::of(session.stream()), exchange);
        }
    }

    /// Watches what lives long already.
    pub(super) fn see_body(&self, session: &Session, exchange: &mut Exchange) {
        let is_new = exchange.flip.as_ref().is_some_and(|flip| flip.watch.is_none());
        if is_new && clock::monotonic().duration_since(exchange.started) > LONG {
            self.watch(session.req_header(), Deadline::of(session.stream()), exchange);
        }
    }

    fn watch(&self, request: &RequestHeader, deadline: Option<&Arc<Deadline>>, exchange: &mut Exchange) {
        let (Some(prepared), Some(flip)) = (&exchange.prepared, &mut exchange.flip) else { return };
        let is_over = Arc::new(AtomicBool::new(false));
        if let Some(deadline) = deadline {
            deadline.may_end();
        }
        let watcher = Watcher {
            flips: self.clone(),
            taken: flip.taken.clone(),
            request: as_known(request, prepared),
            upstream: Arc::clone(exchange.routing.upstreams.name(prepared.upstream)),
            route: Arc::clone(&exchange.routing.route_names[prepared.route]),
            deadline: deadline.cloned(),
            is_over: Arc::clone(&is_over),
        };
        let seen = (Arc::clone(&exchange.snapshot), Arc::clone(&exchange.routing));
        let task = tokio::spawn(async move { watcher.run(seen).await });
        flip.watch = Some(Watch { task, is_over });
    }
}

/// The request as its client will send it from now on: with the cookies that it was given.
fn as_known(request: &RequestHeader, prepared: &Prepared) -> RequestHeader {
    let mut request = request.clone();
    let given = prepared.set_cookies.iter().filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    for cookie in given {
        if let Ok(cookie) = HeaderValue::from_str(cookie) {
            // It goes before those of the same name that were not good.
            let others: Vec<HeaderValue> = request.headers.get_all(COOKIE).iter().cloned().collect();
            let all = [cookie].into_iter().chain(others);
            request.remove_header(&COOKIE);
            for value in all {
                request.append_header(COOKIE, value).ok();
            }
        }
    }
    request
}

type Looked = (Arc<crate::snapshot::Snapshot>, Arc<Routing>);

struct Watcher {
    flips: Flips,
    taken: Taken,
    request: RequestHeader,
    upstream: Arc<str>,
    route: Arc<str>,
    deadline: Option<Arc<Deadline>>,
    is_over: Arc<AtomicBool>,
}

impl Watcher {
    async fn run(self, mut seen: Looked) {
        loop {
            tokio::time::sleep(EVERY).await;
            let now = (self.flips.cell.load(), self.flips.routing.load());
            if Arc::ptr_eq(&now.0, &seen.0) && Arc::ptr_eq(&now.1, &seen.1) {
                continue;
            }
            seen = now;
            if !self.goes_elsewhere(&seen).await {
                continue;
            }
            tokio::time::sleep(jitter()).await;
            // It may have been taken back meanwhile.
            seen = (self.flips.cell.load(), self.flips.routing.load());
            if self.goes_elsewhere(&seen).await {
                break;
            }
        }
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(deadline) = &self.deadline {
            deadline.end();
        }
    }

    /// Whether the request would go to another upstream, or to none, by now.
    async fn goes_elsewhere(&self, (snapshot, routing): &Looked) -> bool {
        let Some(position) = routing.route_names.iter().position(|name| *name == self.route) else { return true };
        let taken = Taken { position, ..self.taken.clone() };
        let mut exchange = Exchange::new(Arc::clone(snapshot), Arc::clone(routing), self.flips.in_flight.enter());
        let (requests, upstreams) = (&routing.requests[self.flips.listener], &routing.upstreams);
        let prepared = requests.prepare(&taken, &self.request, &mut exchange, upstreams, &mut Nobody).await;
        *upstreams.name(prepared.upstream) != self.upstream
    }
}

/// Somewhen within [`SPREAD`].
fn jitter() -> Duration {
    let drawn = u32::from(Uuid::new_v4().as_bytes()[0]);
    SPREAD * drawn / 256
}

/// Nobody watches what is only decided anew.
struct Nobody;

impl Witness for Nobody {
    fn begin(&mut self) {}

    fn tried(&mut self, _tried: &Tried<'_>) {}

    fn decided(&mut self, _seen: &Seen<'_>) {}
}
