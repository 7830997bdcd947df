//! The store: filled where it is empty, and followed.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{GOODBYE, upgrade::Taken};
use crate::{
    clock,
    config::{self, Config},
    snapshot::SnapshotCell,
    store::{self, Follower, SeedError, SeenGateway, Store, StoreError, SyncHandle, SyncOptions, seed_if_empty},
};

/// How long the start waits for the first snapshot; the listeners open then all the same.
const FIRST_SNAPSHOT: Duration = Duration::from_millis(800);

/// How long the end waits for the backup to be brought up to date.
const LAST_BACKUP: Duration = Duration::from_secs(1);

/// Documents that an empty store is filled with at start.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// Texts of documents, see [`store::seeds`], each with where it comes from, for messages.
    pub texts: Vec<(String, String)>,
}

/// The sync while it runs.
pub(super) struct Following {
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// The signs of life.
    beating: JoinHandle<()>,
}

impl Following {
    /// Stops the sync, which writes what it has not yet written to the backup.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if timeout(GOODBYE, self.beating).await.is_err() {
            log::debug!("store: no time for a goodbye");
        }
        match timeout(LAST_BACKUP, self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("store: the sync ended early: {error}"),
            Err(_) => log::warn!("store: the backup was not brought up to date in time"),
        }
    }
}

impl Seed {
    pub(super) fn read(config: &config::Store) -> Result<Self> {
        let mut paths: Vec<PathBuf> = config.seed.iter().cloned().collect();
        if let Some(folder) = &config.seed_segments {
            let failed = || format!("failed to read the folder {}", folder.display());
            let entries =
                fs::read_dir(folder).with_context(failed)?.collect::<Result<Vec<_>, _>>().with_context(failed)?;
            let mut found: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
            found.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
            found.sort_unstable();
            paths.extend(found);
        }
        let read = |path: PathBuf| {
            let name = path.display().to_string();
            let text = fs::read_to_string(&path).with_context(|| format!("failed to read the seed {name}"))?;
            Ok((name, text))
        };
        Ok(Self { texts: paths.into_iter().map(read).collect::<Result<_>>()? })
    }

    /// Where the documents come from.
    fn names(&self) -> String {
        self.texts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// How many documents were written: none when the store is not empty, or is known to have held something before: what
    /// was lost is not replaced by how it all began.
    async fn write(&self, store: &dyn Store, backup: Option<&Path>) -> Result<usize, SeedError> {
        let mut documents = Vec::new();
        for (name, text) in &self.texts {
            documents.extend(store::seeds(name, text)?);
        }
        if let Some(backup) = backup {
            log::info!("store: not seeded, as the backup {} is there", backup.display());
            return Ok(0);
        }
        let serves = |seen: &SeenGateway| seen.gateway.applied.as_ref().is_some_and(|applied| applied.number > 0);
        if store.gateways().await?.iter().any(|seen| seen.is_live() && serves(seen)) {
            log::info!("store: not seeded, as another gateway serves what it held");
            return Ok(0);
        }
        seed_if_empty(store, &documents, "seed", clock::now()).await
    }
}

/// Seeds the store, and follows it; waits for the first snapshot for a moment, or as long as need be where another process
/// serves until then.
pub(super) async fn follow_store(
    config: &Config,
    store: &Arc<dyn Store>,
    seed: Seed,
    (admin, run): (SocketAddr, &Arc<str>),
    takes_over: bool,
) -> Result<(SnapshotCell, SyncHandle, Following)> {
    if !seed.texts.is_empty() {
        let backup = config.store.backup.as_deref().filter(|path| path.exists());
        match seed.write(&**store, backup).await {
            Ok(written) => log::info!("store: seeded with {written} documents from {}", seed.names()),
            Err(SeedError::Store(error @ StoreError::Unavailable(_))) => {
                log::warn!("store: not seeded from {}: {error}", seed.names());
            }
            Err(error) => return Err(error).with_context(|| format!("failed to seed from {}", seed.names())),
        }
    }
    let (cell, publisher) = SnapshotCell::new();
    let options = SyncOptions {
        environment: config.context.environment.clone(),
        region: config.context.region.clone(),
        backup: config.store.backup.clone(),
        ..SyncOptions::default()
    };
    let (follower, handle) = Follower::new(Arc::clone(store), publisher, options);
    let stop = CancellationToken::new();
    let task = tokio::spawn(follower.run(stop.clone().cancelled_owned()));
    let gateway = store::Gateway {
        id: Arc::clone(run),
        name: config.server.name.clone(),
        applied: None,
        at: clock::now(),
        admin: Some(admin.to_string()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let (store, stopped) = (Arc::clone(store), stop.clone().cancelled_owned());
    let beating = tokio::spawn(store::give_signs_of_life(store, gateway, handle.subscribe(), stopped));
    let patience = if takes_over { Taken::patience() } else { FIRST_SNAPSHOT };
    if timeout(patience, handle.ready()).await.is_err() {
        log::warn!("store: no flags yet; every flag is unknown until it answers");
    }
    let snapshot = cell.load();
    for key in config.flags().filter(|key| snapshot.flag(key).is_none()) {
        log::warn!("a route names the flag {key:?}, which does not exist");
    }
    Ok((cell, handle, Following { stop, task, beating }))
}
