//! Users who keep asking.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use flaggate::clock;
use tokio::{task::JoinHandle, time::interval};

use crate::world::World;

/// Users in all.
const USERS: u64 = 2_000;

/// Connections to each gateway.
const CONNECTIONS: u32 = 8;

/// Requests at a steady rate, until it is ended.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Met>>,
}

/// What users met.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) answered: Vec<Answered>,
    /// Requests that the gateway did not answer.
    pub(crate) lost: u64,
}

#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) began: Instant,
    /// Empty: it failed.
    pub(crate) upstream: String,
}

impl Load {
    /// So many requests a second, spread over all gateways.
    pub(crate) fn start(world: &World, per_second: u32) -> Self {
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let gateways = world.gateways();
        let clients = CONNECTIONS * u32::try_from(gateways.len()).unwrap();
        let pause = Duration::from_secs(1) * clients / per_second;
        let clients = gateways.iter().flat_map(|gateway| (0..CONNECTIONS).map(move |_| *gateway)).map(|gateway| {
            let (stop, next) = (Arc::clone(&stop), Arc::clone(&next));
            tokio::spawn(async move {
                let (client, mut met, mut ticks) = (reqwest::Client::new(), Met::default(), interval(pause));
                while !stop.load(Relaxed) {
                    ticks.tick().await;
                    // 1 213 has no divisor in common with the number of users: all come by.
                    let user = next.fetch_add(1, Relaxed) * 1_213 % USERS;
                    let began = clock::monotonic();
                    let request = client.get(format!("http://{gateway}/")).header("X-User-Id", format!("user-{user}"));
                    match request.send().await {
                        Ok(answer) => {
                            let upstream = answer.headers().get("x-demo-upstream").and_then(|name| name.to_str().ok());
                            let upstream = upstream.unwrap_or_default().to_owned();
                            met.answered.push(Answered { began, upstream });
                            // So that the connection is used again.
                            met.lost += u64::from(answer.bytes().await.is_err());
                        }
                        Err(_) => met.lost += 1,
                    }
                }
                met
            })
        });
        Self { clients: clients.collect(), stop }
    }

    pub(crate) async fn end(self) -> Met {
        self.stop.store(true, Relaxed);
        let mut all = Met::default();
        for client in self.clients {
            let met = client.await.unwrap();
            all.answered.extend(met.answered);
            all.lost += met.lost;
        }
        all
    }
}
