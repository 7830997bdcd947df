//! Whose request it is, for what treats requests alike that belong together.

use http::HeaderMap;

use super::context::{cookie, header};
use crate::{config::Subject, model::Users};

/// The hash of what a subject names in a request; of the client's address where the request does not say it. The same in
/// every gateway.
pub(super) fn hash(subject: &Subject, headers: &HeaderMap, user_id: &str, client: &str) -> u64 {
    let named = match subject {
        Subject::User => Some(user_id).filter(|id| !id.is_empty()),
        Subject::ClientIp => None,
        Subject::Header(name) => header(headers, name),
        Subject::Cookie(name) => cookie(headers, name),
    };
    Users::hash(named.unwrap_or(client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_does_not_say_is_its_clients_address() {
        let mut headers = HeaderMap::new();
        headers.insert("x-tenant", "acme".parse().unwrap());
        headers.insert("cookie", "a=b; cart=c7".parse().unwrap());
        let with = |subject: &Subject, user_id: &str| hash(subject, &headers, user_id, "192.0.2.1");
        for (subject, user_id, named) in [
            (Subject::User, "ann", "ann"),
            (Subject::User, "", "192.0.2.1"),
            (Subject::ClientIp, "ann", "192.0.2.1"),
            (Subject::Header("x-tenant".parse().unwrap()), "ann", "acme"),
            (Subject::Header("x-other".parse().unwrap()), "ann", "192.0.2.1"),
            (Subject::Cookie("cart".to_owned()), "", "c7"),
            (Subject::Cookie("other".to_owned()), "", "192.0.2.1"),
        ] {
            assert_eq!(with(&subject, user_id), Users::hash(named), "{subject:?} {user_id}");
        }
    }
}
