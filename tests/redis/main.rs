//! The store in Redis, against real servers: the contract, what others write, losses, sentinels, a cluster.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[macro_use]
#[path = "../support/promises.rs"]
mod promises;

#[macro_use]
#[path = "../support/profiles.rs"]
mod profile_promises;

#[macro_use]
#[path = "../support/counting.rs"]
mod counting;

#[macro_use]
#[path = "../support/experience.rs"]
mod experience;

#[path = "../support/upstream.rs"]
mod upstream;

mod access;
mod analytics;
mod breakers;
mod cluster;
mod contract;
mod counted;
mod events;
mod following;
mod gateways;
mod imports;
mod kills;
mod losses;
mod measured;
mod moves;
mod others;
mod poison;
mod profiles;
mod proxy;
mod races;
mod replicas;
mod segments;
mod sentinel;
mod server;
