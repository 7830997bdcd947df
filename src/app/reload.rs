//! Reading the configuration anew: on SIGHUP, when the file changes, and when the admin API is told to.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use tokio::{
    signal::unix::Signal,
    sync::Mutex,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Reload, ReloadRefused, Reloaded},
    clock,
    config::{Config, Current, Files},
    gateway::RoutingCell,
};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What a configuration was read from.
#[derive(Clone, Debug, Default, PartialEq)]
struct Read {
    /// None: the file cannot be read.
    text: Option<String>,
    /// The certificates and keys that it names.
    files: Files,
}

/// Reads the configuration anew. One reload at a time.
///
/// Invariant: a file with anything wrong in it changes nothing.
pub(super) struct Reloading {
    /// Where the configuration came from; none: from no file.
    file: Option<PathBuf>,
    current: Current,
    routing: RoutingCell,
    /// What was read last.
    read: Mutex<Read>,
    reloads: IntCounterVec,
    is_good: IntGauge,
}

impl Reloading {
    pub(super) fn new(
        file: Option<PathBuf>,
        current: Current,
        routing: RoutingCell,
        registry: &Registry,
    ) -> Result<Arc<Self>> {
        let failed = "failed to register the metrics";
        let reloads = Opts::new("flaggate_config_reloads_total", "Readings of the configuration by how they went.");
        let reloads = IntCounterVec::new(reloads, &["result"]).context(failed)?;
        let is_good = IntGauge::new(
            "flaggate_config_last_reload_successful",
            "1 while the configuration was good when it was read last, else 0.",
        );
        let is_good = is_good.context(failed)?;
        registry.register(Box::new(reloads.clone())).context(failed)?;
        registry.register(Box::new(is_good.clone())).context(failed)?;
        for result in ["changed", "unchanged", "refused"] {
            reloads.with_label_values(&[result]).reset();
        }
        is_good.set(1);
        // What stands there now is what was read at the start.
        let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let read = Mutex::new(Read { text, files: current.get().files.clone() });
        Ok(Arc::new(Self { file, current, routing, read, reloads, is_good }))
    }

    /// Reads the file and does what it says, as far as that goes without a restart.
    pub(super) async fn reload(&self) -> Result<Reloaded, ReloadRefused> {
        let file = self.file.as_ref().ok_or(ReloadRefused::NoFile)?;
        let name = file.display().to_string();
        let mut read = self.read.lock().await;
        let outcome = match tokio::fs::read_to_string(file).await {
            Ok(text) => {
                let parsed = Config::parse(&name, &text, std::env::vars());
                let files = parsed.as_ref().map_or_else(|error| error.files(), |config| &config.files).clone();
                *read = Read { text: Some(text), files };
                parsed.map_err(|error| ReloadRefused::Wrong(error.to_string()))
            }
            Err(error) => Err(ReloadRefused::Wrong(format!("failed to read {name}: {error}"))),
        };
        self.is_good.set(i64::from(outcome.is_ok()));
        let count = |result: &str| self.reloads.with_label_values(&[result]).inc();
        let config = outcome.inspect_err(|refused| {
            count("refused");
            log::error!("the configuration stays as it is: {refused}");
        })?;
        let before = self.current.get();
        let (next, needs_restart) = before.reloaded(config);
        let changed = next != *before;
        count(if changed { "changed" } else { "unchanged" });
        if changed {
            let next = Arc::new(next);
            self.routing.replace(Arc::clone(&next)).await;
            self.current.set(next);
        }
        match (changed, &*needs_restart) {
            (true, []) => log::info!("the configuration was reloaded from {name}"),
            (false, []) => log::info!("the configuration in {name} says nothing new"),
            (_, waiting) => log::warn!("{name}: {} will change with a restart only", waiting.join(", ")),
        }
        Ok(Reloaded { changed, needs_restart, at: clock::now() })
    }

    /// What the admin API calls.
    pub(super) fn handle(self: &Arc<Self>) -> Reload {
        let reloading = Arc::clone(self);
        Arc::new(move || {
            let reloading = Arc::clone(&reloading);
            Box::pin(async move { reloading.reload().await })
        })
    }

    /// Reloads at each signal, and, if it is watched, when the file has changed and stands still, until `stop`.
    pub(super) async fn follow(self: Arc<Self>, mut hangup: Signal, is_watched: bool, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Read::default();
        loop {
            let reload = tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = hangup.recv() => true,
                _ = ticks.tick(), if is_watched => self.has_changed(&mut seen).await,
            };
            if reload {
                // What is wrong was logged, and is shown in the metrics.
                self.reload().await.ok();
            }
        }
    }

    /// Whether the file, or one that it names, says something else than what was read last, and said so already when it was
    /// looked at before: what is being written is left alone.
    async fn has_changed(&self, seen: &mut Read) -> bool {
        let Some(file) = &self.file else { return false };
        let text = tokio::fs::read_to_string(file).await.ok();
        let read = self.read.lock().await;
        let now = Read { text, files: read.files.now() };
        let stands_still = now.text.is_some() && *seen == now;
        let is_new = *read != now;
        *seen = now;
        stands_still && is_new
    }
}
