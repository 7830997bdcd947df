//! Stopping without failing a request: readiness goes first, then new connections, then the process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus::IntGauge;
use tokio::sync::{Notify, watch};

/// How long new connections are still taken after the signal, so that whoever balances the load sees `/readyz` fail,
/// and clients that keep their connection are told to close it.
pub const NOTICE: Duration = Duration::from_millis(500);

/// How long the last answers on connections of HTTP/2 may take to leave.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// The state of stopping, shared by everything that has to know. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain(Arc<State>);

#[derive(Debug)]
struct State {
    draining: AtomicBool,
    /// The same for those who wait for it.
    begun: watch::Sender<bool>,
    in_flight: IntGauge,
    left: Notify,
    /// Tells listeners to close.
    closed: watch::Sender<bool>,
    /// Tells the admin listener to close: another process answers there.
    handed_over: watch::Sender<bool>,
    /// Connections whose last answer may still be on its way when its request is over.
    lingering: AtomicUsize,
    /// Clients' connections.
    connections: AtomicUsize,
}

/// Counts one connection as lingering until it is dropped.
#[derive(Debug)]
pub struct Lingering(Drain);

/// Counts one client's connection until it is dropped.
#[derive(Debug)]
pub struct Connected(Drain);

/// Counts one request as in flight until it is dropped.
#[derive(Debug)]
pub struct InFlight(Drain);

impl Drain {
    /// Nothing is draining yet. Requests are counted in `in_flight`.
    #[must_use]
    pub fn new(in_flight: IntGauge) -> Self {
        Self(Arc::new(State {
            draining: AtomicBool::new(false),
            begun: watch::Sender::new(false),
            in_flight,
            left: Notify::new(),
            closed: watch::Sender::new(false),
            handed_over: watch::Sender::new(false),
            lingering: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }))
    }

    /// Whether the process is about to stop: it is then not ready, and every response closes its connection.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Turns `true` when the process is about to stop.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.0.begun.subscribe()
    }

    /// How many requests are being answered.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.0.in_flight.get()
    }

    /// Counts a request.
    #[must_use]
    pub fn enter(&self) -> InFlight {
        self.0.in_flight.inc();
        InFlight(self.clone())
    }

    /// Counts a connection that answers on a task of its own (HTTP/2): it is waited for a moment when its last request is
    /// over.
    #[must_use]
    pub fn linger(&self) -> Lingering {
        self.0.lingering.fetch_add(1, Ordering::Relaxed);
        Lingering(self.clone())
    }

    /// Counts a client's connection.
    #[must_use]
    pub fn connected(&self) -> Connected {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        Connected(self.clone())
    }

    /// Turns `true` when the admin listener has to close.
    #[must_use]
    pub fn handed_over(&self) -> watch::Receiver<bool> {
        self.0.handed_over.subscribe()
    }

    /// Turns `true` when listeners have to close.
    #[must_use]
    pub fn closed(&self) -> watch::Receiver<bool> {
        self.0.closed.subscribe()
    }

    /// Makes listeners close.
    pub fn close(&self) {
        self.0.closed.send_replace(true);
    }

    /// Drains for another process, which takes all new connections from now on. Each connection is closed with its next answer,
    /// so that no request meets a closed one; those that say nothing have `timeout`. Says whether all are closed.
    pub async fn hand_over(&self, timeout: Duration) -> bool {
        self.begin();
        self.0.handed_over.send_replace(true);
        self.close();
        let connections = || self.0.connections.load(Ordering::Relaxed);
        let is_over = tokio::time::timeout(timeout, self.wait(|| connections() == 0)).await.is_ok();
        if !is_over {
            let (requests, connections) = (self.in_flight(), connections());
            log::info!("{connections} connections are closed after {timeout:?}, with {requests} requests in flight");
        }
        is_over
    }

    /// Drains: not ready at once, no new connections after `notice`, and done when no request is left, or after
    /// `timeout`. Says whether every request was answered.
    pub async fn run(&self, notice: Duration, timeout: Duration) -> bool {
        self.begin();
        tokio::time::sleep(notice).await;
        self.close();
        let idle = self.wait_idle(timeout).await;
        if idle {
            // What is not over by then has nothing to say, but does not hang up either.
            tokio::time::timeout(LAST_WORDS, self.wait(|| self.0.lingering.load(Ordering::Relaxed) == 0)).await.ok();
        } else {
            log::warn!("{} requests are still in flight after {timeout:?} and are cut off", self.in_flight());
        }
        idle
    }

    /// Waits until no request is in flight, or for `timeout`. Says whether none is left.
    pub async fn wait_idle(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.wait(|| self.in_flight() <= 0)).await.is_ok()
    }

    fn begin(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
        self.0.begun.send_replace(true);
        log::info!("draining: {} requests in flight", self.in_flight());
    }

    async fn wait(&self, is_over: impl Fn() -> bool) {
        loop {
            let left = self.0.left.notified();
            tokio::pin!(left);
            // Registered before the look, so that no departure is missed.
            left.as_mut().enable();
            if is_over() {
                return;
            }
            left.await;
        }
    }

    fn departed(&self) {
        if self.is_draining() {
            self.0.left.notify_waiters();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.dec();
        self.0.departed();
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.departed();
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.0.lingering.fetch_sub(1, Ordering::Relaxed);
        self.0.departed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn drain() -> Drain {
        Drain::new(IntGauge::new("g", "g").unwrap())
    }

    #[tokio::test]
    async fn an_idle_gateway_drains_at_once() {
        let drain = drain();
        let closed = drain.closed();
        assert!(drain.run(Duration::ZERO, Duration::ZERO).await);
        assert!(drain.is_draining());
        assert!(*closed.borrow());
    }

    #[tokio::test]
    async fn the_last_request_ends_the_drain() {
        let drain = drain();
        let requests: Vec<InFlight> = (0..100).map(|_| drain.enter()).collect();
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.run(Duration::ZERO, LONG).await }
        });
        drain.closed().wait_for(|closed| *closed).await.unwrap();
        assert_eq!(drain.in_flight(), 100);
        for request in requests {
            tokio::task::yield_now().await;
            drop(request);
        }
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn who_hands_over_waits_for_connections_that_say_nothing() {
        let drain = drain();
        let (idle, handed_over) = (drain.connected(), drain.handed_over());
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.hand_over(LONG).await }
        });
        drain.closed().wait_for(|closed| *closed).await.unwrap();
        assert!(*handed_over.borrow() && drain.is_draining() && !waiting.is_finished());
        drop(idle);
        assert!(waiting.await.unwrap());
        let _silent = drain.connected();
        assert!(!drain.hand_over(Duration::from_millis(10)).await);
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_is_not_waited_for_for_ever() {
        let drain = drain();
        let _stuck = drain.enter();
        assert!(!drain.run(Duration::ZERO, Duration::from_millis(10)).await);
    }
}
