//! Which gateways use the store: one hash, aged by the server's clock.

use std::time::Duration;

use serde::Deserialize;

use crate::store::{Gateway, SeenGateway, StoreError, presence::FORGOTTEN_AFTER};

use super::{connection::Live, names::Names, scripts::Scripts};

/// An entry of the hash.
#[derive(Deserialize)]
struct Entry {
    /// The server's time when it was entered, in milliseconds.
    seen_ms: u64,
    gateway: Gateway,
}

pub(super) async fn beat(
    live: &mut Live,
    scripts: &Scripts,
    names: &Names,
    gateway: &Gateway,
) -> Result<(), StoreError> {
    let text = serde_json::to_string(gateway).expect("a gateway has nothing that JSON cannot say");
    let mut call = scripts.beat.key(names.gateways());
    call.arg(&*gateway.id).arg(text).arg(FORGOTTEN_AFTER.as_secs() * 1000);
    live.script(&call).await
}

/// Sorted by id. An entry that cannot be understood, of another version perhaps, is left out.
pub(super) async fn seen(live: &mut Live, scripts: &Scripts, names: &Names) -> Result<Vec<SeenGateway>, StoreError> {
    let (now, entries): (u64, Vec<Vec<u8>>) = live.script(&scripts.gateways.key(names.gateways())).await?;
    let read = |text: &Vec<u8>| {
        let entry: Entry = serde_json::from_slice(text).ok()?;
        Some(SeenGateway { gateway: entry.gateway, age: Duration::from_millis(now.saturating_sub(entry.seen_ms)) })
    };
    let mut seen: Vec<SeenGateway> = entries.iter().filter_map(read).collect();
    seen.retain(|seen| seen.age <= FORGOTTEN_AFTER);
    seen.sort_by(|left, right| left.gateway.id.cmp(&right.gateway.id));
    Ok(seen)
}
