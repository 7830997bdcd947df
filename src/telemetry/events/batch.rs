//! The task that makes events of what was handed over, and batches of events.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Event, EventKind, Origin,
    event::Whom,
    outlet::Outlet,
    queue::{Exposed, Exposures, Message, Waiting},
};
use crate::{clock, model::Detail, telemetry::Privacy};

/// A batch has about so many events at most.
pub const MOST_EVENTS: usize = 1_000;

/// An event waits so long for others to go with.
pub const LINGER: Duration = Duration::from_secs(1);

/// A batch has about so many bytes at most, so that a web hook takes it.
const MOST_BYTES: usize = 1 << 20;

/// Events that go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The events, in the order in which they were given in.
    pub events: Vec<Event>,
    bytes: usize,
}

impl Batch {
    /// A batch of these events.
    #[must_use]
    pub fn new(events: Vec<Event>) -> Self {
        let bytes = events.iter().map(Event::bytes).sum();
        Self { events, bytes }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, event: Event) {
        self.bytes += event.bytes();
        self.events.push(event);
    }

    fn is_full(&self) -> bool {
        self.events.len() >= MOST_EVENTS || self.bytes >= MOST_BYTES
    }

    /// How many there are of each kind.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (EventKind, usize)> {
        EventKind::ALL.into_iter().filter_map(|kind| {
            let count = self.events.iter().filter(|event| event.kind == kind).count();
            (count > 0).then_some((kind, count))
        })
    }
}

/// What an exposure says besides of whom it is.
#[derive(Serialize)]
struct Given<'g> {
    flag: &'g str,
    variation: &'g str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'g str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'g str>,
    /// An application asked for all flags: that says nothing of which of them it uses.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all: bool,
}

/// Makes batches.
#[derive(Debug)]
pub(super) struct Batching {
    pub(super) origin: Origin,
    pub(super) privacy: Privacy,
    pub(super) outlets: Vec<Outlet>,
    pub(super) stop: CancellationToken,
}

impl Batching {
    /// Runs until it is stopped, and then gives on what still waits.
    pub(super) async fn run(self, mut waiting: Waiting) {
        let mut batch = Batch::default();
        while let Some(messages) = self.first(&mut waiting).await {
            self.enter(messages, &mut batch);
            let due = Instant::from_std(clock::monotonic()) + LINGER;
            while let Some(messages) = self.more(&mut waiting, due).await {
                self.enter(messages, &mut batch);
            }
            self.give(&mut batch);
        }
        loop {
            let messages = waiting.take_ready(MOST_EVENTS);
            if messages.is_empty() {
                break;
            }
            self.enter(messages, &mut batch);
        }
        self.give(&mut batch);
    }

    /// The next messages; `None`: it is stopped, or nothing can come any more.
    async fn first(&self, waiting: &mut Waiting) -> Option<Vec<Message>> {
        tokio::select! {
            () = self.stop.cancelled() => None,
            messages = waiting.take(MOST_EVENTS) => Some(messages).filter(|messages| !messages.is_empty()),
        }
    }

    /// Messages that go together with those before; `None`: no more do.
    async fn more(&self, waiting: &mut Waiting, due: Instant) -> Option<Vec<Message>> {
        tokio::select! {
            () = self.stop.cancelled() => None,
            () = sleep_until(due) => None,
            messages = waiting.take(MOST_EVENTS) => Some(messages).filter(|messages| !messages.is_empty()),
        }
    }

    /// Makes events, and gives on batches that are full.
    fn enter(&self, messages: Vec<Message>, batch: &mut Batch) {
        for message in messages {
            match message {
                Message::Exposures(exposures) => {
                    let (user_id, session_id) = (
                        self.privacy.shown(&exposures.user_id),
                        exposures.session_id.as_deref().map(|id| self.privacy.shown(id)),
                    );
                    let whom = Whom {
                        user_id: Some(&user_id),
                        session_id: session_id.as_deref(),
                        request_id: exposures.request_id.as_deref(),
                    };
                    for flag in &exposures.flags {
                        let kind = (EventKind::FlagEvaluated, exposures.time);
                        batch.push(Event::write(&self.origin, kind, whom, &given(&exposures, flag)));
                        self.give_if_full(batch);
                    }
                }
                Message::Happening(happening) => {
                    batch.push(Event::of(&happening, &self.origin, &self.privacy));
                    self.give_if_full(batch);
                }
            }
        }
    }

    fn give_if_full(&self, batch: &mut Batch) {
        if batch.is_full() {
            self.give(batch);
        }
    }

    fn give(&self, batch: &mut Batch) {
        if batch.events.is_empty() {
            return;
        }
        let batch = Arc::new(std::mem::take(batch));
        self.outlets.iter().for_each(|outlet| outlet.push(&batch));
    }
}

fn given<'g>(exposures: &'g Exposures, flag: &'g Exposed) -> Given<'g> {
    Given {
        flag: &flag.flag,
        variation: &flag.variation,
        reason: flag.reason.as_str(),
        detail: flag.detail.map(Detail::as_str),
        revision: exposures.revision,
        route: exposures.route.as_deref(),
        strategy: exposures.strategy,
        upstream: exposures.upstream.as_deref(),
        all: exposures.all,
    }
}
