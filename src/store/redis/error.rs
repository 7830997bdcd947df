//! What goes wrong with Redis, in the words of the store.

use redis::{ErrorKind, RedisError};

use crate::store::StoreError;

/// The server answers, but not with what it should hold: the same question will get the same answer.
const DAMAGED: [&str; 2] = ["DAMAGED", "WRONGTYPE"];

/// A failed command or script. All that is not damage may be over when it is tried again, over a new connection and
/// maybe to another server: a lost connection, no answer, a demoted master (`READONLY`), one that loads or is down.
pub(super) fn read_failed(error: &RedisError, what: &str) -> StoreError {
    let code = error.code().unwrap_or_default();
    let told = error.to_string();
    let is_damage = DAMAGED.iter().any(|damaged| code == *damaged || told.contains(damaged))
        || matches!(error.kind(), ErrorKind::UnexpectedReturnType);
    match is_damage {
        true => StoreError::Damaged(format!("{what}: {told}")),
        false => unavailable(format!("{what}: {told}")),
    }
}

pub(super) fn unavailable(why: impl Into<String>) -> StoreError {
    StoreError::Unavailable(why.into().into())
}
