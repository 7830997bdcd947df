//! `GET /events`: the live feed as server-sent events.

use std::collections::VecDeque;

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::sleep,
};

use super::{
    Live,
    client::{Client, Found},
    hub::Kept,
    message::{Keys, Kind, event, id_line, of_keys, revision_of},
    stopping,
};
use crate::admin::{
    Admin,
    refusal::{Issue, Refusal},
};

/// Says which event was seen last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What keeps the connection open when there is nothing to tell.
const COMMENT: Bytes = Bytes::from_static(b": \n\n");

/// How soon a browser connects again.
const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// Changes of flags and segments as they are applied here, as server-sent events.
///
/// The first event is a `snapshot` (in several parts if it is long), then there is a `flag_update` or `segment_update` for
/// each change; the data are those of `/ws` after a subscription. The `id` is the revision. Who comes back with `Last-Event-ID` goes on from
/// there, as long as the changes since then are remembered (the last 256), and else gets a snapshot. The stream ends when
/// the reader is too far behind, and when the gateway stops.
#[utoipa::path(
    get,
    path = "/events",
    tag = "live",
    security(("token" = ["viewer"])),
    params(
        ("subscribe" = Option<Vec<String>>, Query, description = "The kinds to hear of, `flags` and `segments`; `flags` unless given.", example = json!(["flags"])),
        ("keys" = Option<Vec<String>>, Query, description = "Only changes of these; all unless given. At most 1 000."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen."),
    ),
    responses(
        (status = 200, description = "Events, without end.", content_type = "text/event-stream", body = String,
            example = "id: 0198c0f4:7\nevent: flag_update\ndata: {\"type\":\"flag_update\",\"flag_key\":\"a\",\"action\":\"updated\",\"timestamp\":\"2026-01-02T03:04:05.000000Z\",\"revision\":\"0198c0f4:7\"}\n\n"),
        (status = 422, description = "A kind is unknown, or there are too many keys.", body = Object),
        (status = 503, description = "There are too many live clients, or the gateway is stopping.", content_type = "application/problem+json", body = Object),
    )
)]
pub(super) async fn events(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (kinds, keys) = wanted(query.as_deref().unwrap_or_default())?;
    let place = match admin.live.place() {
        Ok(place) => place,
        Err(refusal) => return Ok(*refusal),
    };
    let seen = headers.get(LAST_EVENT_ID).and_then(|id| revision_of(id.to_str().ok()?));
    let reader = Reader::new(admin.live, kinds, keys, seen.as_ref(), place);
    let body = Body::from_stream(stream::unfold(reader, async |mut reader| {
        let bytes = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), reader))
    }));
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((head, body).into_response())
}

fn wanted(query: &str) -> Result<(Vec<Kind>, Keys), Refusal> {
    let (mut kinds, mut keys, mut issues) = (Vec::new(), None::<Vec<String>>, Vec::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let texts = value.split(',').filter(|text| !text.is_empty());
        match &*name {
            "subscribe" => {
                for name in texts {
                    match Kind::parse(name) {
                        Ok(kind) => kinds.push(kind),
                        Err(complaint) => issues.push(Issue::of_query("subscribe", &complaint.message)),
                    }
                }
            }
            "keys" => keys.get_or_insert_default().extend(texts.map(str::to_owned)),
            _ => {}
        }
    }
    let keys = keys.map(|keys| of_keys(keys.iter().map(String::as_str))).transpose();
    let keys = keys.unwrap_or_else(|complaint| {
        issues.push(Issue::of_query("keys", &complaint.message));
        None
    });
    Refusal::of_issues(issues)?;
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.is_empty() {
        kinds.push(Kind::Flags);
    }
    Ok((kinds, keys))
}

/// One reader's stream.
struct Reader {
    live: Live,
    client: Client,
    ready: VecDeque<Bytes>,
    head: watch::Receiver<Kept>,
    draining: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    fn new(
        live: Live,
        kinds: Vec<Kind>,
        keys: Keys,
        seen: Option<&crate::model::WorldRevision>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let shared = &live.0;
        let goes_on = seen.and_then(|seen| shared.hub.after(seen));
        let mut client = Client::choosy(goes_on.unwrap_or_else(|| shared.hub.head()));
        let mut ready = VecDeque::from([RETRY]);
        for kind in kinds {
            if goes_on.is_some() {
                client.subscribe(kind, keys.clone(), None);
            } else {
                show(&live, &mut client, kind, keys.clone(), &mut ready);
            }
        }
        let (head, draining) = (shared.hub.watch(), shared.drain.draining());
        Self { client, ready, head, draining, live, _place: place }
    }

    /// The next bytes; `None`: it is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            self.head.mark_unchanged();
            match self.client.take(&self.live.0.hub) {
                Found::Updates(changed, told, _) => {
                    let last = told.last().copied();
                    for position in told {
                        // Only the last event of a change says that it was seen.
                        if Some(position) == last && !changed.id_line.is_empty() {
                            self.ready.push_back(changed.id_line.clone());
                        }
                        self.ready.extend(changed.updates.get(position).map(|update| update.event.clone()));
                    }
                }
                Found::Everything(wanted) => {
                    for (kind, keys) in wanted {
                        show(&self.live, &mut self.client, kind, keys, &mut self.ready);
                    }
                }
                Found::TooFar => return None,
                Found::Nothing => {
                    tokio::select! {
                        () = stopping(&mut self.draining) => return None,
                        _ = self.head.changed() => {}
                        () = sleep(self.live.0.limits.ping_every / 2) => return Some(COMMENT),
                    }
                }
            }
        }
    }
}

/// Subscribes, and makes everything that there is of a kind ready.
fn show(live: &Live, client: &mut Client, kind: Kind, keys: Keys, ready: &mut VecDeque<Bytes>) {
    let state = live.0.states.of(kind, &keys);
    client.subscribe(kind, keys, Some(&state));
    for (position, part) in state.parts.iter().enumerate() {
        if let (true, Some(revision)) = (position + 1 == state.parts.len(), &state.revision) {
            ready.push_back(id_line(revision));
        }
        ready.push_back(event("snapshot", part));
    }
}
