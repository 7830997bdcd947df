//! All users who have a profile: page by page, how many, and some who are drawn.

use std::collections::HashSet;

use crate::store::{Count, Cursor, Sample, StoreError, profiles::Sampler};

use super::{connection::Live, names::Names, reading::SCAN_STEP};

/// How many steps one page takes at most: it may be looked for in vain where other keys are many.
const STEPS: usize = 32;

/// With so many keys or fewer, profiles are counted one by one.
const COUNTED: u64 = 100_000;

/// How many keys an estimate looks at.
const LOOKED_AT: usize = 2_000;

/// Some users behind a place, each once, and where to go on.
pub(super) async fn page(
    live: &mut Live,
    names: &Names,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<(Vec<String>, Option<Cursor>), StoreError> {
    let limit = limit.clamp(1, SCAN_STEP);
    let mut position = after.and_then(|after| position_in(after, &live.life())).unwrap_or(0);
    let (mut seen, mut users) = (HashSet::new(), Vec::new());
    // How many keys one user costs: with many others between them, a step has to be longer.
    let mut keys_each = 1;
    for _ in 0..STEPS {
        let wanted = limit - users.len();
        let (next, found) = scan(live, names, position, (wanted * keys_each).min(SCAN_STEP)).await?;
        if found.len() < wanted / 2 + 1 {
            keys_each *= 2;
        }
        for key in found {
            if let Some(user) = names.user_of(&key)
                && seen.insert(user.to_owned())
            {
                users.push(user.to_owned());
            }
        }
        position = next;
        if position == 0 || users.len() >= limit {
            break;
        }
    }
    let next = (position != 0).then(|| Cursor::new(format!("{}:{position}", live.life())));
    Ok((users, next))
}

/// How many there are: counted, or where that takes long, all keys times the share of profiles among some that the server
/// draws.
pub(super) async fn count(live: &mut Live, names: &Names) -> Result<Count, StoreError> {
    let keys: u64 = live.command(&redis::cmd("DBSIZE")).await?;
    if keys > COUNTED {
        let mut drawing = redis::pipe();
        for _ in 0..LOOKED_AT {
            drawing.cmd("RANDOMKEY");
        }
        let drawn: Vec<Option<Vec<u8>>> = live.pipeline(&drawing).await?;
        let profiles = drawn.iter().flatten().filter(|key| names.user_of(key).is_some()).count() as u64;
        return Ok(Count { number: keys.saturating_mul(profiles) / LOOKED_AT as u64, exact: false });
    }
    let mut users = HashSet::new();
    each(live, names, |user| {
        users.insert(user.to_owned());
    })
    .await?;
    Ok(Count { number: users.len() as u64, exact: true })
}

/// Draws users.
pub(super) async fn sample(live: &mut Live, names: &Names, size: usize, seed: u64) -> Result<Sample, StoreError> {
    let mut sampler = Sampler::new(size, seed);
    each(live, names, |user| sampler.see(user)).await?;
    Ok(sampler.end())
}

/// Goes through all users; one may come twice.
async fn each(live: &mut Live, names: &Names, mut see: impl FnMut(&str)) -> Result<(), StoreError> {
    let mut position = 0;
    loop {
        let (next, found) = scan(live, names, position, SCAN_STEP).await?;
        found.iter().filter_map(|key| names.user_of(key)).for_each(&mut see);
        position = next;
        if position == 0 {
            return Ok(());
        }
    }
}

async fn scan(live: &mut Live, names: &Names, from: u64, count: usize) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
    let mut command = redis::cmd("SCAN");
    command.arg(from).arg("MATCH").arg(names.profiles_pattern()).arg("COUNT").arg(count).arg("TYPE").arg("hash");
    live.command(&command).await
}

/// The position that a cursor stands for, in the server's life that it comes from.
fn position_in(cursor: &Cursor, life: &str) -> Option<u64> {
    let (of, position) = cursor.as_str().split_once(':')?;
    (of == life).then(|| position.parse().ok())?
}
