//! `GET /ofrep/v1/events`: tells clients that flags changed, so that they evaluate anew.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, stream};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::{sync::watch, time::sleep};
use utoipa::ToSchema;
use uuid::Uuid;

use super::failure::Refused;
use crate::{
    admin::{
        Admin,
        access::{Caller, TICKET, Term},
    },
    clock,
    model::WorldRevision,
    store::SyncHandle,
};

/// Where the stream is.
pub(in crate::admin) const PATH: &str = "/ofrep/v1/events";

/// After how long a client that nobody looks at is to close its connection.
pub(super) const INACTIVITY_DELAY_SECONDS: u32 = 120;

/// The shortest time between two events: what changes in between is told together.
const PAUSE: Duration = Duration::from_millis(100);

/// A comment goes out as often as this, so that a connection that is gone is noticed and others are not cut for idleness.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A change that is younger is told to who connects anew: what that client evaluated may be older.
const RECENT: Duration = Duration::from_secs(60);

/// The address of the stream, from the origin on, for who can show a ticket only.
pub(super) fn address(ticket: Option<String>) -> String {
    ticket.map_or_else(|| PATH.to_owned(), |ticket| format!("{PATH}?{TICKET}={ticket}"))
}

/// What an event says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OfrepEvent)]
struct Refetch {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Stands for the flags that are served now.
    etag: String,
    /// Since when they are, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false)]
    last_modified: Option<i64>,
}

/// Follow changes of flags
///
/// Server-sent events, as `eventStreams` of a bulk evaluation announces them. Each says that the client is to evaluate
/// anew; changes within 100 ms are one event. `id` is the revision: who connects again with it as `Last-Event-ID` hears at
/// once of what was missed. The stream ends with the token or session that opened it.
#[utoipa::path(
    get,
    path = PATH,
    operation_id = "ofrepEvents",
    tag = "ofrep",
    security(("token" = ["client"])),
    params(
        ("ticket" = Option<String>, Query, description = "Instead of a token, for who cannot send headers; a bulk evaluation tells it as part of the stream's address"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that the client has seen"),
    ),
    responses(
        (status = 200, description = "Events named `message`, with this as data", body = Refetch, content_type = "text/event-stream",
            example = json!({ "type": "refetchEvaluation", "etag": "4b1c2d7e-9f7e-4a57-8d8a-0a3c6f6f2f11:42", "lastModified": 1_771_622_898 })),
        Refused,
    )
)]
pub(super) async fn events(State(admin): State<Admin>, caller: Caller, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let feed = Feed {
        applied: admin.sync.subscribe(),
        closed: admin.drain.closed(),
        sync: admin.sync,
        last,
        next: Next::First,
        term: caller.term,
    };
    let events = Sse::new(told(feed)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Proxies that collect answers would keep the events back.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    ([unbuffered], events).into_response()
}

/// What one client has been told. It holds the newest revision only, however slowly the client reads.
struct Feed {
    applied: watch::Receiver<Option<WorldRevision>>,
    closed: watch::Receiver<bool>,
    sync: SyncHandle,
    /// The id of the last event.
    last: Option<String>,
    next: Next,
    term: Term,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing was told yet.
    First,
    /// Something was told just now.
    AfterPause,
}

fn told(feed: Feed) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(feed, async |mut feed| {
        let event = feed.event().await?;
        Some((Ok(event), feed))
    })
}

impl Feed {
    /// The next event; `None`: the gateway stops, nothing will change any more, or the token or session is over.
    async fn event(&mut self) -> Option<Event> {
        if self.next == Next::First {
            self.next = Next::AfterPause;
            return Some(self.greeting());
        }
        let (mut closed, term) = (self.closed.clone(), self.term);
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            () = term.over() => None,
            event = self.change() => event,
        }
    }

    /// Tells what the client missed, or else how far it is, which it repeats when it connects again.
    fn greeting(&mut self) -> Event {
        let greeting = Event::default().retry(reconnection());
        let Some(revision) = self.applied.borrow_and_update().clone() else { return greeting };
        let status = self.sync.status();
        let is_recent = status.applied_at.is_some_and(|at| clock::now().duration_since(at).unsigned_abs() < RECENT);
        let id = revision.to_string();
        let missed = self.last.as_ref().map_or(is_recent, |last| *last != id);
        self.last = Some(id.clone());
        if missed { refetch(greeting, id, status.applied_at) } else { greeting.id(id) }
    }

    async fn change(&mut self) -> Option<Event> {
        loop {
            sleep(PAUSE).await;
            self.applied.changed().await.ok()?;
            let id = self.applied.borrow_and_update().as_ref().map(ToString::to_string);
            let Some(id) = id.filter(|id| self.last.as_ref() != Some(id)) else { continue };
            self.last = Some(id.clone());
            return Some(refetch(Event::default(), id, self.sync.status().applied_at));
        }
    }
}

fn refetch(event: Event, etag: String, applied_at: Option<Timestamp>) -> Event {
    let last_modified = applied_at.map(Timestamp::as_second).filter(|second| *second >= 0);
    let data = json!(Refetch { kind: "refetchEvaluation", etag: etag.clone(), last_modified });
    event.event("message").id(etag).data(data.to_string())
}

/// After how long a client connects again: from one to five seconds, not all at once.
fn reconnection() -> Duration {
    let [byte, ..] = Uuid::new_v4().into_bytes();
    Duration::from_millis(1_000 + u64::from(byte) * 16)
}
