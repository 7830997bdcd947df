//! The user that a path names.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
};

use crate::admin::refusal::{Issue, Refusal};

/// The most bytes that a user's id has.
const LONGEST: usize = 256;

/// A user's id, from the path.
#[derive(Debug)]
pub(super) struct UserId(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for UserId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let unread = || Refusal::Status(StatusCode::BAD_REQUEST, "the user's id in the path is not UTF-8".to_owned());
        let named = RawPathParams::from_request_parts(parts, state).await.map_err(|_| unread())?;
        let user_id = named.iter().find(|(name, _)| *name == "id").map(|(_, id)| id.to_owned()).unwrap_or_default();
        check(&user_id).map_err(|why| Refusal::Invalid(vec![Issue::of_path("id", why)]))?;
        Ok(Self(user_id))
    }
}

/// What is wrong with a user's id.
pub(in crate::admin) fn check(user_id: &str) -> Result<(), &'static str> {
    match user_id {
        "" => Err("a user's id is not empty"),
        // Whoever sends such a path means another one.
        "." | ".." => Err("no user is called . or .."),
        _ if user_id.len() > LONGEST => Err("a user's id has at most 256 bytes"),
        _ if user_id.contains('\0') => Err("a user's id has no NUL"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in ["a", "ann@example.org", "é/:{x}\n", &"x".repeat(LONGEST), "..."] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for wrong in ["", ".", "..", "a\0b", &"x".repeat(LONGEST + 1)] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
