//! The lease: who alone acts on what all gateways see, and how a store refuses one who only thinks that it still does.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{StoreError, Write};

/// A lease that somebody was given.
///
/// Invariant: no number is given to two holders, and it grows. A write that carries a lease is refused once the store
/// knows of another, whatever its writer believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub holder: Arc<str>,
    /// The fencing number.
    pub number: u64,
}

impl fmt::Display for Lease {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "lease {} of {}", self.number, self.holder)
    }
}

/// The lease of a store that lives in this process.
#[derive(Debug, Default)]
pub(super) struct Leases {
    number: u64,
    /// The holder, and until when.
    held: Option<(Arc<str>, Instant)>,
}

impl Leases {
    /// Takes the lease or renews it, and says who holds it then.
    pub(super) fn take(&mut self, holder: &str, within: Duration, now: Instant) -> Lease {
        let (holder, until) = match self.held.take().filter(|(_, until)| now < *until) {
            Some((other, until)) if *other != *holder => (other, until),
            Some((holder, _)) => (holder, now + within),
            None => {
                self.number += 1;
                (holder.into(), now + within)
            }
        };
        self.held = Some((holder.clone(), until));
        Lease { holder, number: self.number }
    }

    /// Ends the lease if this holder has it.
    pub(super) fn give_back(&mut self, holder: &str) {
        self.held.take_if(|(held, _)| **held == *holder);
    }

    /// Refuses a write under a lease that is not the one in force.
    pub(super) fn check(&self, write: &Write) -> Result<(), StoreError> {
        let Some(lease) = &write.fence else { return Ok(()) };
        let held = self.held.as_ref().map(|(holder, _)| Lease { holder: holder.clone(), number: self.number });
        if held.as_ref() == Some(lease) { Ok(()) } else { Err(StoreError::Fenced { lease: lease.clone(), held }) }
    }
}
