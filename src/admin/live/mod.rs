//! What changes, told as it happens: over WebSocket (`/ws`) and as server-sent events (`/events`). Pages of other sites are
//! kept out before, with every other request of theirs: a browser lets any page open a WebSocket.
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
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast::error::RecvError, watch},
    time::{sleep, timeout},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{hub::Hub, state::States};
use super::{Admin, problem};
use crate::{
    clock,
    drain::Drain,
    snapshot::SnapshotCell,
    store::{Moved, MovedUsers, ProfileStore, SyncHandle},
};

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

    /// Tells who enters and leaves segments as well, from now on; what is missed is not told again.
    ///
    /// # Panics
    /// There is no runtime.
    pub fn tell_moves(&self, profiles: Arc<dyn ProfileStore>) {
        let feeding = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                match profiles.moved_users().await {
                    Ok(mut moved) => {
                        while let Some(together) = next_moves(&mut moved).await {
                            let Some(shared) = feeding.upgrade() else { return };
                            shared.hub.push_users(message::of_moves(&together, clock::now()));
                        }
                    }
                    Err(error) => log::debug!("live: {error}"),
                }
                sleep(RETRY_MOVES).await;
            }
        });
    }

    /// Tells how far a segment is worked out anew.
    pub(super) fn tell_recompute(&self, segment: &str, progress: serde_json::Value) {
        self.0.hub.push_users(vec![message::of_recompute(segment, progress)]);
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

/// Users who move within this are told of together: an import is not to drown the feed.
const MOVES_WITHIN: Duration = Duration::from_millis(250);

/// The most users of one such time.
const MOVES_TOGETHER: usize = 100_000;

/// The pause before moves are listened to again after that ended.
const RETRY_MOVES: Duration = Duration::from_secs(1);

/// Those who move next, and all who do so soon after; `None`: it is over.
async fn next_moves(moved: &mut MovedUsers) -> Option<Vec<Moved>> {
    let mut together = moved.next().await?.to_vec();
    let more = async {
        while together.len() < MOVES_TOGETHER
            && let Some(next) = moved.next().await
        {
            together.extend_from_slice(&next);
        }
    };
    // The end of the time is the usual end of this; that of the stream is seen the next time.
    timeout(MOVES_WITHIN, more).await.ok();
    Some(together)
}

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(socket::ws)).routes(routes!(events::events))
}

/// Waits until the gateway begins to stop.
pub(super) async fn stopping(draining: &mut watch::Receiver<bool>) {
    // An error says that nobody is left who could say so.
    draining.wait_for(|draining| *draining).await.ok();
}
