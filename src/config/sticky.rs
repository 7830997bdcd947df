//! `sticky` of routes, and `[sticky]`: users who are held to where they went first.

use std::time::Duration;

use super::{
    check::Checker,
    error::At,
    key_file::KeyFile,
    keys::{Kind, REQUIRED, Section, key},
    read::Table,
};

/// A secret has so many bytes or more.
const SHORTEST_SECRET: usize = 32;

pub(super) static KEYS: Section = Section {
    keys: &[key(
        "keys",
        Kind::List(&Kind::Table(&KEY)),
        "[]",
        "what the cookies of sticky routes are signed with: the first signs, all are taken",
    )],
    later: &[],
};

static KEY: Section = Section {
    keys: &[
        key("id", Kind::Text, REQUIRED, "stands in the cookie: letters, digits, dashes and underscores"),
        key("secret_file", Kind::Text, REQUIRED, "a file with 32 bytes or more that all gateways share"),
    ],
    later: &[],
};

pub(super) static ROUTE: Section = Section {
    keys: &[
        key("cookie", Kind::Text, "\"flaggate_v\"", "the cookie that holds a user; each sticky route has its own"),
        key("ttl", Kind::Duration, "\"1d\"", "how long it does"),
    ],
    later: &[],
};

/// How a route holds its users.
#[derive(Clone, Debug, PartialEq)]
pub struct Sticky {
    /// The cookie. Default `flaggate_v`.
    pub cookie: String,
    /// How long it holds a user. Default a day.
    pub ttl: Duration,
}

/// A key that cookies are signed with.
#[derive(Clone, Debug, PartialEq)]
pub struct StickyKey {
    /// Stands in the cookie.
    pub id: String,
    /// The secret.
    pub secret: KeyFile,
}

impl StickyKey {
    pub(super) fn all(checker: &mut Checker<'_>, root: &Table) -> Vec<Self> {
        let (mut ids, mut keys) = (Vec::new(), Vec::new());
        for (table, at) in root.table("sticky").into_iter().flat_map(|(table, _)| table.tables("keys")) {
            let id = checker.once(&mut ids, "key", table.text("id"));
            let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if id.len() > 32 || !id.bytes().all(usable) {
                checker.problem(
                    at,
                    format!("{id:?} is no id for a key: 32 letters, digits, dashes and underscores at most"),
                );
            }
            let Some(path) = table.text("secret_file") else { continue };
            let Some(secret) = KeyFile::read(checker, path) else { continue };
            if secret.secret().len() < SHORTEST_SECRET {
                let wrong = "a secret has 32 bytes or more, like what `openssl rand -hex 32` gives";
                checker.problem(path.1, format!("{}: {wrong}", path.0));
            }
            keys.push(Self { id, secret });
        }
        keys
    }
}

impl Sticky {
    pub(super) fn check(checker: &mut Checker<'_>, table: &Table, at: &At) -> Self {
        let cookie = table.text("cookie").and_then(|text| checker.cookie(text));
        let cookie = cookie.unwrap_or_else(|| "flaggate_v".to_owned());
        if !checker.has_sticky_keys {
            checker.problem(at, "a sticky route needs keys: `[[sticky.keys]]` with `id` and `secret_file`");
        }
        if checker.sticky_cookies.contains(&cookie) {
            checker.problem(at, format!("another route holds its users by the cookie {cookie:?} already"));
        }
        checker.sticky_cookies.push(cookie.clone());
        Self { cookie, ttl: table.duration("ttl", Duration::from_secs(24 * 3600)).max(Duration::from_secs(1)) }
    }
}
