//! What changes, told as it happens: over WebSocket (`/ws`) and as server-sent events (`/events`).
//!
//! The sync tells what this gateway applied; the hub keeps the last messages, each encoded once, and every client goes
//! through them at its own speed, up to a bound. So who sees a message and then evaluates gets the new answer.

mod client;
mod events;
mod hub;
mod message;
mod socket;
mod state;

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, StatusCode, header, uri::Authority},
    response::{IntoResponse, Response},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast::error::RecvError, watch};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{hub::Hub, state::States};
use super::{Admin, guard, problem};
use crate::{drain::Drain, snapshot::SnapshotCell, store::SyncHandle};

/// The bounds of the live feed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many clients there may be at once.
    pub clients: usize,
    /// How many changes of the world may wait for one client before it is sent away.
    pub queue: u64,
    /// How long a client may take to let one message pass.
    pub send_within: Duration,
    /// How often a client is asked for a sign of life; it has until the next time to give one.
    pub ping_every: Duration,
    /// How long a client that is sent away may take to hear why.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 4096,
            queue: 256,
            send_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(30),
            goodbye: Duration::from_secs(2),
        }
    }
}

/// The live feed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    hub: Hub,
    states: States,
    places: Arc<Semaphore>,
    drain: Drain,
    limits: Limits,
}

impl Live {
    /// A feed of what the sync applies, from now on.
    ///
    /// # Panics
    /// There is no runtime.
    #[must_use]
    pub fn start(sync: &SyncHandle, cell: SnapshotCell, drain: Drain, limits: Limits) -> Self {
        let places = Arc::new(Semaphore::new(limits.clients));
        let shared = Shared { hub: Hub::new(limits.queue), states: States::new(cell), places, drain, limits };
        let live = Self(Arc::new(shared));
        let (mut changes, feeding) = (sync.changes(), Arc::downgrade(&live.0));
        tokio::spawn(async move {
            loop {
                let applied = changes.recv().await;
                let Some(shared) = feeding.upgrade() else { return };
                match applied {
                    Ok(applied) => shared.hub.push(&applied),
                    Err(RecvError::Lagged(missed)) => {
                        log::warn!("live: {missed} changes were missed; the clients start anew");
                        shared.hub.lose();
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        });
        live
    }

    /// How many clients there are.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.limits.clients - self.0.places.available_permits()
    }

    /// A place for one more client, unless the gateway is stopping or all are taken.
    fn place(&self) -> Result<OwnedSemaphorePermit, Box<Response>> {
        let refuse = |detail| {
            let mut refusal = problem(StatusCode::SERVICE_UNAVAILABLE, detail);
            refusal.headers_mut().insert(header::RETRY_AFTER, const { header::HeaderValue::from_static("5") });
            Err(Box::new(refusal.into_response()))
        };
        if self.0.drain.is_draining() {
            return refuse("the gateway is stopping");
        }
        match Arc::clone(&self.0.places).try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(_) => refuse("there are as many live clients as this gateway takes"),
        }
    }
}

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(socket::ws)).routes(routes!(events::events))
}

/// Waits until the gateway begins to stop.
async fn stopping(draining: &mut watch::Receiver<bool>) {
    // An error says that nobody is left who could say so.
    draining.wait_for(|draining| *draining).await.ok();
}

/// Whether a connection may be made by the page that a browser says it comes from: one of this listener's own, or, to a
/// listener on loopback, one on loopback. Browsers keep no page from opening a WebSocket, so the server has to.
fn may_connect(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let origin = origin.to_str().ok().and_then(guard::authority);
    host.zip(origin)
        .is_some_and(|(host, origin)| host == origin || (guard::is_loopback(&host) && guard::is_loopback(&origin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_do_not_connect() {
        for (host, origin, may) in [
            ("127.0.0.1:9090", None, true),
            ("127.0.0.1:9090", Some("http://127.0.0.1:9090"), true),
            ("127.0.0.1:9090", Some("http://localhost:5173"), true),
            ("flags.example", Some("https://flags.example"), true),
            ("flags.example", Some("https://flags.example:8443"), false),
            ("flags.example", Some("http://localhost"), false),
            ("127.0.0.1:9090", Some("https://elsewhere.example"), false),
            ("127.0.0.1:9090", Some("null"), false),
            ("127.0.0.1:9090", Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            headers.extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
            assert_eq!(may_connect(&headers), may, "{host} {origin:?}");
        }
    }
}
