//! The data plane, and the signals that end it.

use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
};

use crate::{
    drain::{Drain, NOTICE},
    gateway::{self, Parts},
};

/// Serves until a signal says to stop.
pub(super) fn serve(parts: Parts, signals: Signals) {
    let stop = StopOnSignal {
        signals: Mutex::new(signals),
        drain: parts.drain.clone(),
        timeout: parts.config.server.drain_timeout,
    };
    let mut server = Server::new_with_opt_and_conf(None, gateway::server_conf(&parts.config));
    server.bootstrap();
    for listener in &parts.config.listeners {
        log::info!("listener {:?} listens on {}", listener.name, listener.address);
    }
    gateway::add_services(&mut server, &parts);
    server.run(RunArgs { shutdown_signal: Box::new(stop) });
}

/// The signals that stop the gateway; watched before the listeners open, so that none is lost.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// These, and the one that asks for a reload.
    pub(super) fn watch() -> std::io::Result<(Self, Signal)> {
        let signals = Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        Ok((signals, signal(SignalKind::hangup())?))
    }
}

/// Waits for a signal. SIGTERM drains; SIGINT, or a second signal, stops at once.
struct StopOnSignal {
    signals: Mutex<Signals>,
    drain: Drain,
    timeout: Duration,
}

#[async_trait]
impl ShutdownSignalWatch for StopOnSignal {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await;
        let Signals { terminate, interrupt } = &mut *signals;
        tokio::select! {
            _ = interrupt.recv() => return ShutdownSignal::FastShutdown,
            _ = terminate.recv() => {}
        }
        tokio::select! {
            _ = self.drain.run(NOTICE, self.timeout) => {}
            _ = interrupt.recv() => log::warn!("a second signal: stopping at once"),
            _ = terminate.recv() => log::warn!("a second signal: stopping at once"),
        }
        ShutdownSignal::FastShutdown
    }
}
