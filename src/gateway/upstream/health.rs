//! The background service that resolves names and checks health.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use pingora::{
    server::ShutdownWatch,
    services::{ServiceReadyNotifier, background::BackgroundService},
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{Endpoint, Upstreams, probe::probe, random, resolve};
use crate::config::HealthCheck;

/// How long the gateway waits at start for the first results; what is unknown then counts as healthy.
const FIRST_RESULTS: Duration = Duration::from_millis(500);

/// How often endpoints that were put aside are looked at. Requests go to them as soon as the time is over; this is for who
/// reads the log and the metrics, and so that failures count again.
const READMISSION: Duration = Duration::from_millis(100);

/// Resolves names and checks health for as long as the server runs, of whatever upstreams there are. It is ready when the
/// first results are there.
#[derive(Debug)]
pub struct HealthChecks(watch::Receiver<Arc<Upstreams>>);

impl HealthChecks {
    /// The checks of these upstreams.
    #[must_use]
    pub fn new(upstreams: watch::Receiver<Arc<Upstreams>>) -> Self {
        Self(upstreams)
    }
}

impl Upstreams {
    /// One endpoint with its check.
    fn checked(&self) -> impl Iterator<Item = (Arc<str>, Arc<Endpoint>, HealthCheck)> {
        self.0.iter().flat_map(|pool| {
            let check = pool.config.health_check.clone();
            let endpoints = pool.endpoints.iter().cloned();
            check.into_iter().flat_map(move |check| {
                endpoints.clone().map(move |endpoint| (Arc::clone(&pool.name), endpoint, check.clone()))
            })
        })
    }

    /// Every name resolved, and every endpoint checked of which nothing is known, once; as far as the time allows. What is
    /// unknown then counts as healthy.
    pub(crate) async fn look_at_new(&self) {
        // What takes longer is done by those who keep checking.
        timeout(FIRST_RESULTS, self.first_round()).await.ok();
    }

    async fn first_round(&self) {
        resolve::resolve(&mut resolve::names(self)).await;
        let mut checks = JoinSet::new();
        for (upstream, endpoint, check) in self.checked().filter(|(_, endpoint, _)| !endpoint.is_known()) {
            checks.spawn(async move { check_once(&upstream, &endpoint, &check).await });
        }
        checks.join_all().await;
    }

    async fn keep_checking(&self) {
        let mut tasks = JoinSet::new();
        for (upstream, endpoint, check) in self.checked() {
            tasks.spawn(async move {
                // One that did not answer in the first round is asked again at once.
                let mut is_known = endpoint.is_known();
                loop {
                    if is_known {
                        tokio::time::sleep(jittered(check.interval)).await;
                    }
                    is_known = true;
                    check_once(&upstream, &endpoint, &check).await;
                }
            });
        }
        for pool in self.0.iter().filter(|pool| pool.config.outlier.is_some()) {
            let (upstream, endpoints) = (Arc::clone(&pool.name), pool.endpoints.clone());
            tasks.spawn(async move {
                loop {
                    tokio::time::sleep(READMISSION).await;
                    endpoints.iter().for_each(|endpoint| endpoint.readmit(&upstream, false));
                }
            });
        }
        let mut names = resolve::names(self);
        tasks.spawn(async move {
            loop {
                resolve::resolve(&mut names).await;
                tokio::time::sleep(jittered(resolve::INTERVAL)).await;
            }
        });
        tasks.join_all().await;
    }
}

#[async_trait]
impl BackgroundService for HealthChecks {
    async fn start_with_ready_notifier(&self, mut shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        let mut all = self.0.clone();
        let upstreams = Arc::clone(&all.borrow_and_update());
        upstreams.look_at_new().await;
        ready.notify_ready();
        let checks = async {
            let mut upstreams = upstreams;
            loop {
                tokio::select! {
                    () = upstreams.keep_checking() => {}
                    changed = all.changed() => match changed {
                        Ok(()) => upstreams = Arc::clone(&all.borrow_and_update()),
                        // No other configuration will come.
                        Err(_) => upstreams.keep_checking().await,
                    }
                }
            }
        };
        tokio::select! {
            () = checks => {}
            // An error says that the server is gone, which is the same.
            _ = shutdown.wait_for(|stopping| *stopping) => {}
        }
    }
}

async fn check_once(upstream: &str, endpoint: &Endpoint, check: &HealthCheck) {
    let Some(peer) = endpoint.peer() else { return };
    match probe(check, endpoint.address(), &peer).await {
        Ok(()) => endpoint.report(upstream, true, &"checked"),
        Err(error) => endpoint.report(upstream, false, &error),
    }
}

/// The time ± 10 %, so that many gateways do not check all at once.
fn jittered(time: Duration) -> Duration {
    let share = (random() % 2001) as f64 / 10_000.0;
    time.mul_f64(0.9 + share)
}
