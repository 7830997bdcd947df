//! The admin API, and what acts by itself: the conductor and kill switches.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{calls, conduct, events::Telling};
use crate::{
    admin::{self, Access, Admin, Explain, Live, LiveLimits, Recomputes, Reload, Training, UsageWatch},
    gateway::{Explainer, Parts},
    store::{Opened, ProfileStore, SyncHandle},
    tracking::{Moves, Tracked},
};

/// Starts everything that is not in a request's way. Gives the conductor, which gives its lease back at the end.
pub(super) fn control_plane(
    listener: TcpListener,
    parts: &Parts,
    telling: &Telling,
    stores: &Opened,
    (sync, reload): (SyncHandle, Reload),
    run: Arc<str>,
    stop: &CancellationToken,
) -> Result<JoinHandle<()>> {
    let Parts { config, current, cell, metrics, drain, profiles, recent, observers, .. } = parts;
    let stores = telling.told(stores);
    let Opened { documents: store, profiles: profile_store, counters, analytics, .. } = &stores;
    let (registry, failed) = (metrics.registry().clone(), "failed to register the metrics");
    let moves = Moves::register(&registry, cell.clone()).context(failed)?.telling(telling.events().cloned());
    let profile_store: Arc<dyn ProfileStore> =
        Arc::new(Tracked::start(Arc::clone(profile_store), cell.clone(), moves.clone()));
    let (client, notifier) = calls::calls(parts)?;
    calls::trip(parts, (store.clone(), counters.clone()), notifier.clone(), stop);
    let live = Live::start(&sync, cell.clone(), drain.clone(), LiveLimits::default());
    live.tell_moves(profile_store.clone());
    let conducting = (store.clone(), counters.clone(), sync.clone());
    let (conducting, deployments) = conduct::conduct(parts, conducting, (client, notifier.clone()), run, stop)?;
    let admin = Admin {
        access: Access::new(&config.admin).context("failed to prepare the access to the admin API")?,
        store: store.clone(),
        cell: cell.clone(),
        sync,
        profiles: profiles.clone(),
        recent: recent.clone(),
        profile_store,
        counters: counters.clone(),
        analytics: analytics.clone(),
        registry,
        config: current.clone(),
        reload: Some(reload),
        drain: drain.clone(),
        observers: observers.clone(),
        tail: telling.tail.clone(),
        live,
        notifier,
        explain: Some(explain(parts)),
        ready_stale_after: config.store.ready_stale_after,
        usage: UsageWatch::default(),
        moves,
        recomputes: Recomputes::default(),
        training: Training::default(),
        deployments,
    };
    serve_admin(listener, admin);
    Ok(conducting)
}

fn serve_admin(listener: TcpListener, admin: Admin) {
    tokio::spawn(async move {
        if let Err(error) = admin::serve(listener, admin).await {
            log::error!("admin: {error}");
        }
    });
}

/// Explains as the gateway decides.
fn explain(parts: &Parts) -> Explain {
    let explainer = Arc::new(Explainer::new(parts));
    Arc::new(move |request| {
        let explainer = Arc::clone(&explainer);
        Box::pin(async move { explainer.explain(&request).await.map_err(|error| error.to_string()) })
    })
}
