//! How many connections there may be to a listener, in all and from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use ahash::RandomState;

use super::{limits::network, routing::RoutingCell};
use crate::{config::Listener, telemetry::ConnectionMetrics};

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Tells who is a trusted proxy now: those may have any number of connections.
    routing: RoutingCell,
    listener: usize,
    most: Option<usize>,
    most_per_address: Option<usize>,
    /// Held for a moment when a connection begins and ends, if there is a limit by address; never for a request.
    by_address: Mutex<HashMap<IpAddr, usize, RandomState>>,
    metrics: ConnectionMetrics,
}

/// The right of one connection to be there, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
}

impl Crowd {
    pub(super) fn new(routing: RoutingCell, position: usize, listener: &Listener, metrics: ConnectionMetrics) -> Self {
        Self {
            routing,
            listener: position,
            most: listener.max_connections,
            most_per_address: listener.max_connections_per_ip,
            by_address: Mutex::default(),
            metrics,
        }
    }

    /// Lets a connection in, unless there are too many.
    pub(super) fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Place> {
        self.metrics.open.inc();
        // From here on what is counted is taken back when the place is dropped.
        let mut place = Place { crowd: Arc::clone(self), address: None };
        let open = usize::try_from(self.metrics.open.get()).unwrap_or_default();
        if self.most.is_some_and(|most| open > most) {
            self.metrics.refused.inc();
            return None;
        }
        let Some((most, peer)) = self.most_per_address.zip(peer) else { return Some(place) };
        if self.routing.load().requests[self.listener].is_proxy(peer) {
            return Some(place);
        }
        let peer = network(peer);
        let mut all = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(peer).or_default();
        if *count >= most {
            self.metrics.refused_by_address.inc();
            return None;
        }
        *count += 1;
        place.address = Some(peer);
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.metrics.open.dec();
        let Some(address) = self.address else { return };
        let mut all = self.crowd.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&address);
            }
        }
    }
}
