//! How an upstream's requests are spread over its endpoints, and what is done about endpoints that fail: `load_balance`,
//! `hash_on`, `retries` and `outlier` of an upstream.

use std::time::Duration;

use http::HeaderName;

use super::{
    MOST_ATTEMPTS,
    check::Checker,
    error::At,
    keys::{Kind, Section, key},
    read::Table,
};

/// How an endpoint is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadBalance {
    /// In turn, by weight.
    RoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastConn,
    /// The one with fewer requests in flight of two drawn at random.
    P2c,
    /// The same one for the same subject, as long as it can take requests.
    Hash(Subject),
}

/// Whose request it is, for what treats requests alike that belong together.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// The user's id.
    User,
    /// The client's address.
    ClientIp,
    /// The value of a request header.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
}

/// What is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How many tries there are in all. Default 2; 1 turns retries off.
    pub attempts: usize,
    /// How many out of a hundred requests of the last ten seconds may be tried again. Default 10.
    pub budget_percent: u64,
}

/// When an endpoint that answers with errors is put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// After so many failures in a row. Default 5.
    pub consecutive_5xx: usize,
    /// For how long the first time; each further time in a row takes as much longer. Default 30 s.
    pub ejection: Duration,
    /// How many out of a hundred endpoints are put aside at most. Default 50.
    pub max_percent: usize,
}

pub(super) const LOAD_BALANCES: Kind = Kind::Choice(&["round_robin", "least_conn", "p2c", "hash"]);

pub(super) static SUBJECT: Section = Section {
    keys: &[
        key("header", Kind::Text, "none", "the value of this request header"),
        key("cookie", Kind::Text, "none", "the value of this cookie"),
    ],
    later: &["jwt"],
};

pub(super) static SUBJECT_HEADER: Section =
    Section { keys: &[key("header", Kind::Text, "none", "the value of this request header")], later: &["jwt"] };

pub(super) static RETRIES: Section = Section {
    keys: &[
        key("attempts", Kind::Integer(1, MOST_ATTEMPTS as i64), "2", "tries in all; 1 turns retries off"),
        key(
            "budget_percent",
            Kind::Integer(0, 100),
            "10",
            "how many out of a hundred requests of the last ten seconds may be tried again, besides three a second",
        ),
    ],
    later: &[],
};

pub(super) static OUTLIER: Section = Section {
    keys: &[
        key(
            "consecutive_5xx",
            Kind::Integer(1, 1_000_000),
            "5",
            "failures in a row after which an endpoint is put aside: answers of 5xx, no connection, no answer in time",
        ),
        key(
            "ejection",
            Kind::Duration,
            "\"30s\"",
            "for how long; twice as long the second time in a row, at most ten times",
        ),
        key(
            "max_percent",
            Kind::Integer(0, 100),
            "50",
            "how many out of a hundred endpoints are put aside at most, rounded down",
        ),
    ],
    later: &[],
};

impl Retries {
    pub(super) fn check(upstream: &Table) -> Self {
        let empty = Table::default();
        let table = upstream.table("retries").map_or(&empty, |(table, _)| table);
        Self {
            attempts: table.count("attempts").unwrap_or(2),
            budget_percent: table.count("budget_percent").unwrap_or(10) as u64,
        }
    }
}

impl Outlier {
    pub(super) fn check(upstream: &Table) -> Option<Self> {
        let (table, _) = upstream.table("outlier")?;
        Some(Self {
            consecutive_5xx: table.count("consecutive_5xx").unwrap_or(5),
            ejection: table.duration("ejection", Duration::from_secs(30)),
            max_percent: table.count("max_percent").unwrap_or(50),
        })
    }
}

impl Checker<'_> {
    pub(super) fn load_balance(&mut self, upstream: &Table) -> LoadBalance {
        let subject = match upstream.get("hash_on") {
            Some(node) => match node.text() {
                Some(_) => None,
                None => node.table().and_then(|table| self.subject(table, &node.at)),
            },
            None => None,
        };
        let by_name = match upstream.text("hash_on").map_or("", |(text, _)| text) {
            "client_ip" => Subject::ClientIp,
            _ => Subject::User,
        };
        let balance = match upstream.text("load_balance").map_or("", |(text, _)| text) {
            "least_conn" => LoadBalance::LeastConn,
            "p2c" => LoadBalance::P2c,
            "hash" => LoadBalance::Hash(subject.unwrap_or(by_name)),
            _ => LoadBalance::RoundRobin,
        };
        if let (Some(node), false) = (upstream.get("hash_on"), matches!(balance, LoadBalance::Hash(_))) {
            self.problem(&node.at, "`hash_on` needs `load_balance = \"hash\"`");
        }
        balance
    }

    /// A header or a cookie.
    pub(super) fn subject(&mut self, table: &Table, at: &At) -> Option<Subject> {
        let (name, text) = self.one_of(table, at, &["header", "cookie"])?;
        match name {
            "header" => self.header(text).map(Subject::Header),
            _ => self.cookie(text).map(Subject::Cookie),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parsed(upstream: &str) -> Result<Config, String> {
        let text = format!(
            "listeners = [{{ name = \"web\", address = \"127.0.0.1:0\" }}]\nroutes = [{{ name = \"all\", upstream = \"u\" }}]\n\
             [upstreams.u]\nendpoints = [{{ address = \"127.0.0.1:9\" }}]\n{upstream}\n"
        );
        Config::parse("f", &text, std::iter::empty()).map_err(|error| error.to_string())
    }

    #[test]
    fn balances_and_subjects() {
        for (text, expected) in [
            ("", LoadBalance::RoundRobin),
            ("load_balance = \"least_conn\"", LoadBalance::LeastConn),
            ("load_balance = \"p2c\"", LoadBalance::P2c),
            ("load_balance = \"hash\"", LoadBalance::Hash(Subject::User)),
            ("load_balance = \"hash\"\nhash_on = \"client_ip\"", LoadBalance::Hash(Subject::ClientIp)),
            (
                "load_balance = \"hash\"\nhash_on = { header = \"X-Tenant\" }",
                LoadBalance::Hash(Subject::Header(HeaderName::from_static("x-tenant"))),
            ),
            (
                "load_balance = \"hash\"\nhash_on = { cookie = \"cart\" }",
                LoadBalance::Hash(Subject::Cookie("cart".to_owned())),
            ),
        ] {
            assert_eq!(parsed(text).unwrap().upstreams[0].load_balance, expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, expected) in [
            ("hash_on = \"user\"", "f:5:11: `hash_on` needs `load_balance = \"hash\"`"),
            (
                "load_balance = \"hash\"\nhash_on = \"usr\"",
                "f:6:11: upstreams.u.hash_on has no \"usr\", did you mean \"user\"?; it takes user, client_ip",
            ),
            ("load_balance = \"hash\"\nhash_on = {}", "f:6:11: exactly one of header, cookie must be given"),
            (
                "hash_on = 1",
                "f:5:11: upstreams.u.hash_on takes one of user, client_ip, or a table with header or cookie, not 1",
            ),
            (
                "retries = { budget_percent = 101 }",
                "f:5:30: upstreams.u.retries.budget_percent takes a whole number from 0 to 100, not 101",
            ),
            (
                "outlier = { consecutive_5xx = 0 }",
                "f:5:31: upstreams.u.outlier.consecutive_5xx takes a whole number from 1 to 1000000, not 0",
            ),
        ] {
            assert_eq!(parsed(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn retries_are_bounded_and_nobody_is_put_aside_unless_asked() {
        let upstream = |text: &str| parsed(text).unwrap().upstreams.remove(0);
        assert_eq!(upstream("").retries, Retries { attempts: 2, budget_percent: 10 });
        assert_eq!(upstream("").outlier, None);
        let outlier = Outlier { consecutive_5xx: 5, ejection: Duration::from_secs(30), max_percent: 50 };
        assert_eq!(upstream("outlier = {}").outlier, Some(outlier));
    }
}
