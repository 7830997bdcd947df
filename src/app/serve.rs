//! The data plane, and the signals that end it.

use std::{net::TcpListener, time::Duration};

use async_trait::async_trait;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
};

use super::upgrade::{Taken, Upgrade};
use crate::{
    drain::{Drain, NOTICE},
    gateway::{self, Parts},
};

/// What ends the gateway.
pub(super) struct Stopping {
    pub(super) signals: Signals,
    pub(super) upgrade: Upgrade,
}

/// Serves until a signal says to stop. `before` served until now.
pub(super) fn serve(parts: Parts, sockets: Vec<TcpListener>, before: Option<Taken>, stopping: Stopping) {
    let stop = StopOnSignal {
        stopping: Mutex::new(stopping),
        drain: parts.drain.clone(),
        timeout: parts.config.server.drain_timeout,
    };
    let mut server = Server::new_with_opt_and_conf(None, gateway::server_conf(&parts.config));
    server.bootstrap();
    for listener in &parts.config.listeners {
        log::info!("listener {:?} listens on {}", listener.name, listener.address);
    }
    gateway::add_services(&mut server, &parts, sockets, || {
        if let Some(before) = before
            && let Err(error) = before.ready()
        {
            log::warn!("upgrade: {error:#}");
        }
        tell_manager(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
    });
    server.run(RunArgs { shutdown_signal: Box::new(stop) });
}

/// Tells systemd, if it asked to be told (`Type=notify`).
fn tell_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("systemd cannot be told {states:?}: {error}");
    }
}

/// The signals that stop the gateway; watched before the listeners open, so that none is lost.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// These, and the one that asks for a reload.
    pub(super) fn watch() -> std::io::Result<(Self, Signal)> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok((Self { terminate, interrupt, quit: signal(SignalKind::quit())? }, signal(SignalKind::hangup())?))
    }
}

/// Waits for a signal. SIGTERM drains, SIGQUIT hands over to a new process and drains; SIGINT, or a second signal, stops at
/// once.
struct StopOnSignal {
    stopping: Mutex<Stopping>,
    drain: Drain,
    timeout: Duration,
}

/// How the gateway ends.
enum End {
    AtOnce,
    Drained,
    /// Another process serves.
    HandedOver,
}

impl Stopping {
    /// Waits for the end, over as many attempts to hand over as fail.
    async fn end(&mut self) -> End {
        let Signals { terminate, interrupt, quit } = &mut self.signals;
        loop {
            let handing_over = async {
                quit.recv().await;
                self.upgrade.run().await
            };
            tokio::select! {
                _ = interrupt.recv() => return End::AtOnce,
                _ = terminate.recv() => return End::Drained,
                handed_over = handing_over => match handed_over {
                    Ok(()) => return End::HandedOver,
                    Err(error) => log::error!("upgrade: this process serves on: {error:#}"),
                },
            }
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for StopOnSignal {
    async fn recv(&self) -> ShutdownSignal {
        let mut stopping = self.stopping.lock().await;
        let end = stopping.end().await;
        let Stopping { signals: Signals { terminate, interrupt, .. }, upgrade } = &mut *stopping;
        let mut closed = self.drain.closed();
        let draining = async {
            match end {
                End::AtOnce => true,
                End::Drained => {
                    tell_manager(&[NotifyState::Stopping]);
                    self.drain.run(NOTICE, self.timeout).await
                }
                End::HandedOver => self.drain.hand_over(self.timeout).await,
            }
        };
        let closing = async {
            // An error says that the gateway is gone, which is the same.
            drop(closed.wait_for(|closed| *closed).await);
            upgrade.close();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = draining => {}
            () = closing => {}
            _ = interrupt.recv() => log::warn!("a second signal: stopping at once"),
            _ = terminate.recv() => log::warn!("a second signal: stopping at once"),
        }
        ShutdownSignal::FastShutdown
    }
}
