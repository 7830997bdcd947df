//! Builds and wires everything, and starts and stops it in order: store, sync, first snapshot, listeners.

mod analytics;
mod calls;
mod conduct;
mod control_plane;
mod data_plane;
mod events;
mod follow;
mod measure;
mod reload;
mod serve;
mod slice;
mod trace;
mod upgrade;

use std::{net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{runtime::Runtime, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::follow::Seed;
use self::{
    control_plane::control_plane,
    data_plane::{DataPlane, count},
    events::Telling,
    follow::{Following, follow_store},
    reload::Reloading,
    serve::{Signals, Stopping, serve},
    trace::Exporting,
    upgrade::{Taken, Upgrade},
};
pub use crate::admin::openapi;
use crate::{
    config::{self, Config, StoreKind},
    demo,
    gateway::Parts,
    store::{self, StoreErrors},
    telemetry::access_log,
};

/// How long the end waits for the last counts to reach the store.
const LAST_COUNTS: Duration = Duration::from_secs(1);

/// How long the end waits for the goodbye to reach the store.
const GOODBYE: Duration = Duration::from_millis(200);

/// Everything but the data plane runs: the store is followed and the admin listener answers.
pub struct App {
    parts: Parts,
    /// What the listeners listen on.
    sockets: Vec<TcpListener>,
    /// The process that serves until this one does.
    before: Option<Taken>,
    /// What a process that takes over is given.
    upgrade: Upgrade,
    control: Runtime,
    signals: Signals,
    following: Following,
    /// Runs deployments.
    conducting: JoinHandle<()>,
    /// Brings what is counted to the store.
    counting: JoinHandle<()>,
    /// Brings what users meet and do to the store.
    analysing: JoinHandle<()>,
    access_log: access_log::Writer,
    /// Brings spans to the collector.
    exporting: Exporting,
    telling: Telling,
    /// What was started beside the gateway ends with it.
    stop: CancellationToken,
}

impl App {
    /// Starts all but the data plane. `file` is where the configuration came from, and is read anew when it changes. `seed` stands in for `store.seed` and `store.seed_segments`.
    ///
    /// # Errors
    /// An address is taken, or the store, the seed or the access log cannot be opened.
    pub fn start(config: Config, file: Option<PathBuf>, seed: Option<Seed>) -> Result<Self> {
        slice::take_short_slices();
        let config = Arc::new(config);
        let (before, mut sockets) = Taken::find()?;
        let mut listening = Vec::new();
        for listener in &config.listeners {
            listening.push(sockets.bind(listener.address).with_context(|| cannot_listen(listener))?);
        }
        let seed = match seed {
            Some(seed) => seed,
            None => Seed::read(&config.store)?,
        };
        let control = Runtime::new().context("failed to start the control runtime")?;
        let (signals, hangup) = control.block_on(async { Signals::watch() }).context("failed to watch for signals")?;
        let address = config.admin.address;
        let failed = || format!("the admin listener cannot listen on {address}");
        let listener = sockets.bind(address).with_context(failed)?;
        upgrade::listen(&listener).with_context(failed)?;
        sockets.close_others();
        if let (Some(before), StoreKind::Embedded { .. }) = (&before, &config.store.kind) {
            before.ask_for_store()?;
        }
        let errors = StoreErrors::new();
        let stores = errors.watch(store::open(&config.store)?);
        let upgrade = Upgrade::new(sockets, stores.exclusive.clone(), refused(&config));
        let run: Arc<str> = uuid::Uuid::now_v7().to_string().into();
        let (cell, sync, following) =
            control.block_on(follow_store(&config, &stores.documents, seed, (address, &run), before.is_some()))?;
        // What is spawned from here on runs on the control runtime.
        let entered = control.enter();
        let listener = tokio::net::TcpListener::from_std(listener).context("the admin listener cannot be used")?;
        let stop = CancellationToken::new();
        let data_plane = DataPlane::prepare(&config, &cell, &stores, &run, control.handle())?;
        let DataPlane { parts, access_log, watching, exporting, telling } = data_plane;
        measure::measure(&parts, &sync, &errors)?;
        let counting = count(&stores, &parts, run.clone(), &stop);
        let analysing = analytics::analyse(watching, &stores, &parts, run.clone(), &stop);
        let reloading = Reloading::new(file, parts.current.clone(), parts.routing.clone(), parts.metrics.registry())?;
        let followed = (sync, reloading.handle());
        let conducting = control_plane(listener, &parts, &telling, &stores, followed, run, &stop)?;
        tokio::spawn(reloading.follow(hangup, config.server.watch_config, stop.clone()));
        drop(entered);
        log::info!("admin listens on {address}");
        Ok(Self {
            parts,
            sockets: listening,
            before,
            upgrade,
            control,
            signals,
            following,
            conducting,
            counting,
            analysing,
            access_log,
            exporting,
            telling,
            stop,
        })
    }

    /// Starts the demo's upstreams, with what is wrong with them, and on request users who ask the first listener so often
    /// each second.
    ///
    /// # Errors
    /// An upstream's address is taken.
    pub fn start_demo(&self, faults: &demo::Faults, traffic: Option<u32>) -> Result<()> {
        let config = &self.parts.config;
        self.control.block_on(demo::upstreams(&demo::addresses(config), faults, self.stop.clone()))?.detach();
        if let (Some(per_second), Some(listener)) = (traffic, config.listeners.first()) {
            self.control.spawn(demo::traffic(listener.address, per_second, self.stop.clone()));
            self.control.spawn(demo::shoppers(config.admin.address, self.stop.clone()));
        }
        Ok(())
    }

    /// Serves until SIGTERM or SIGINT, or until another process took over after SIGQUIT.
    ///
    /// # Errors
    /// Somebody else listens on an address meanwhile.
    pub fn serve(self) -> Result<()> {
        for (socket, listener) in self.sockets.iter().zip(&self.parts.config.listeners) {
            upgrade::listen(socket).with_context(|| cannot_listen(listener))?;
        }
        let Self {
            parts,
            sockets,
            before,
            upgrade,
            control,
            signals,
            following,
            conducting,
            counting,
            analysing,
            access_log,
            exporting,
            telling,
            stop,
        } = self;
        serve(parts, sockets, before, Stopping { signals, upgrade });
        stop.cancel();
        drop(access_log);
        if control.block_on(async { timeout(GOODBYE, conducting).await }).is_err() {
            log::debug!("conductor: no time to give the lease back");
        }
        if control.block_on(async { timeout(LAST_COUNTS, counting).await }).is_err() {
            log::warn!("counts: no time for the last ones");
        }
        if control.block_on(async { timeout(LAST_COUNTS, analysing).await }).is_err() {
            log::warn!("analytics: no time for what users did last");
        }
        control.block_on(exporting.end());
        control.block_on(telling.end());
        control.block_on(following.end());
        control.shutdown_timeout(Duration::from_millis(100));
        Ok(())
    }
}

fn cannot_listen(listener: &config::Listener) -> String {
    format!("listener {:?} cannot listen on {}", listener.name, listener.address)
}

/// Why no other process can take over.
fn refused(config: &Config) -> Option<&'static str> {
    matches!(config.store.kind, StoreKind::Memory)
        .then_some("with `store.kind = \"memory\"` the flags would be lost; take \"embedded\" or \"redis\"")
}
