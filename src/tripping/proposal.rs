//! A move of a switch, brought to the store.

use jiff::Timestamp;

use super::{Tripping, measure};
use crate::{
    delivery::kill::{Move, plan},
    eval::{KillSwitch, check_kill_switch},
    model::{DocumentKey, Fault, KillStatus, KillSwitchDocument},
    store::{Expected, StoreError, Write},
};

/// Why a move was not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the document is damaged: {}", .0.message)]
    Damaged(Fault),
}

impl Tripping {
    /// Writes what becomes of a switch, if it still is as it was seen. `None`: it is not, as somebody else was faster.
    pub(super) async fn write(
        &self,
        seen: &KillSwitch,
        moved: &Move,
        now: Timestamp,
    ) -> Result<Option<KillSwitchDocument>, Failure> {
        let store = &*self.store;
        let key = DocumentKey::kill_switch(seen.id.clone());
        let Some(stored) = store.get(&key).await? else { return Ok(None) };
        let document = KillSwitchDocument::parse(&stored.text).map_err(Failure::Damaged)?;
        let (switch, _) = check_kill_switch(&document);
        let is_same = |status: &KillStatus| (status.state, status.since, status.recovery);
        if is_same(&switch.status) != is_same(&seen.status) {
            return Ok(None);
        }
        let mut status = switch.status.clone();
        let by = format!("the breaker of {}", self.name);
        let is_changed = match moved {
            Move::Trigger { reason, error_rate, usual } => {
                let is_changed = status.trigger(&by, reason, true, Some(*error_rate), now);
                if let Some(activation) = status.history.first_mut() {
                    activation.requests_per_second = Some(*usual);
                }
                is_changed
            }
            Move::LetThrough(percentage) => {
                let reason = format!("{percentage} % of the users are let through");
                status.let_through(&plan(&switch).steps, &by, &reason, now)
            }
            Move::Lift { error_rate } => {
                if let Some(activation) = status.history.first_mut() {
                    activation.error_rate_after = *error_rate;
                    measure(&*self.counters, &self.cell.load(), &switch, activation, now).await;
                }
                status.lift(&by, "it recovered", now)
            }
        };
        if !is_changed {
            return Ok(None);
        }
        let document = document.with_status(&status);
        let write = Write {
            document: key,
            text: Some(document.to_text().into()),
            expected: Expected::Revision(stored.revision),
            actor: by,
            at: now,
            fence: None,
        };
        match store.write(write).await {
            Ok(_) => Ok(Some(document)),
            Err(StoreError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a switch does now, for the log.
pub(super) fn told(document: &KillSwitchDocument) -> String {
    let status = document.status().unwrap_or_default();
    format!("{}, by {}: {}", status.state.as_str(), status.by.unwrap_or_default(), status.reason.unwrap_or_default())
}
