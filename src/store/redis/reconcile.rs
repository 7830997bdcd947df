//! Finding what something else wrote or removed: it leaves no revision and no hint.

use std::time::{Duration, Instant};

use crate::{clock, model::DocumentKind, store::StoreError};

use super::{
    connection::Live,
    names::Names,
    reading::{SCAN_STEP, scan},
    scripts::{Scripts, Wanted},
};

/// How many documents are looked at in one step, for which everything else waits: about a millisecond.
const STEP: usize = 100;

/// A pass ends after this and goes on the next time where it ended.
const LONGEST: Duration = Duration::from_secs(1);

/// How much of the time may go into passes: one part in so many.
const SHARE: u32 = 10;

/// Where the passes stand.
#[derive(Debug, Default)]
pub(super) struct Reconcile {
    /// The scans of the keys of each kind.
    documents: [u64; DocumentKind::ALL.len()],
    /// The scan of the index.
    index: u64,
}

impl Reconcile {
    /// Looks through what is stored and adopts what something else did.
    pub(super) async fn pass(&mut self, live: &mut Live, scripts: &Scripts, names: &Names) -> Result<(), StoreError> {
        let by = clock::monotonic() + LONGEST;
        self.written(live, scripts, names, by).await?;
        self.removed(live, scripts, names, by).await
    }

    /// The same, if it is this gateway's turn.
    pub(super) async fn pass_in_turn(
        &mut self,
        live: &mut Live,
        scripts: &Scripts,
        names: &Names,
        every: Duration,
    ) -> Result<(), StoreError> {
        if !take_turn(live, names, every).await? {
            return Ok(());
        }
        let began = clock::monotonic();
        self.pass(live, scripts, names).await?;
        let pause = (clock::monotonic() - began) * SHARE;
        if pause > every {
            let mut command = redis::cmd("PEXPIRE");
            command.arg(names.reconciled()).arg(pause.as_millis().to_string());
            let _: redis::Value = live.command(&command).await?;
        }
        Ok(())
    }

    /// Adopts new and changed documents.
    async fn written(
        &mut self,
        live: &mut Live,
        scripts: &Scripts,
        names: &Names,
        by: Instant,
    ) -> Result<(), StoreError> {
        for (kind, cursor) in DocumentKind::ALL.into_iter().zip(&mut self.documents) {
            loop {
                let (next, keys) = scan(live, names, kind, *cursor).await?;
                let keys: Vec<String> = keys.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect();
                settle(live, scripts, Wanted::Check, &keys).await?;
                *cursor = next;
                if next == 0 || clock::monotonic() >= by {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Adopts removals: what the index knows and is not there any more.
    async fn removed(
        &mut self,
        live: &mut Live,
        scripts: &Scripts,
        names: &Names,
        by: Instant,
    ) -> Result<(), StoreError> {
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(names.index()).arg(self.index).arg("COUNT").arg(SCAN_STEP);
            let (next, entries): (u64, Vec<(String, Vec<u8>)>) = live.command(&command).await?;
            let keys: Vec<String> = entries.into_iter().map(|(name, _)| names.key(&name)).collect();
            settle(live, scripts, Wanted::Gone, &keys).await?;
            self.index = next;
            if next == 0 || clock::monotonic() >= by {
                return Ok(());
            }
        }
    }
}

/// Whether it is this gateway's turn: of all that ask within `every`, only the first looks. What it finds, all others
/// learn by its hints.
async fn take_turn(live: &mut Live, names: &Names, every: Duration) -> Result<bool, StoreError> {
    let mut command = redis::cmd("SET");
    command.arg(names.reconciled()).arg(1).arg("NX").arg("PX").arg(every.as_millis().to_string());
    let taken: Option<String> = live.command(&command).await?;
    Ok(taken.is_some())
}

async fn settle(live: &mut Live, scripts: &Scripts, wanted: Wanted, keys: &[String]) -> Result<(), StoreError> {
    for chunk in keys.chunks(STEP) {
        let _: redis::Value = live.script(&scripts.read(live, wanted, chunk)).await?;
    }
    Ok(())
}
