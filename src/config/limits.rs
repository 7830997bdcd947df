//! How many requests a route takes (`limits.rate`), and how many connections a listener.

use std::time::Duration;

use super::{
    Subject,
    balance::SUBJECT_HEADER,
    check::Checker,
    error::At,
    keys::{Key, Kind, REQUIRED, Section, key},
    read::Table,
};

/// The longest time that a burst may take to come back.
const LONGEST: Duration = Duration::from_secs(6 * 24 * 3600);

/// How many requests a route takes.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// Whose requests are counted together.
    pub per: Per,
    /// How many there may be in a window, on average.
    pub requests: u64,
    /// The window: 1 s to 1 d.
    pub window: Duration,
    /// How many may come at once. Default as many as in a window.
    pub burst: u64,
    /// How many users, addresses or values are told apart at once. Default 100 000.
    pub max_keys: usize,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq)]
pub enum Per {
    /// All of the route.
    Route,
    /// Those of one user, address or value.
    Subject(Subject),
}

pub(super) const MAX_CONNECTIONS: Key = key(
    "max_connections",
    Kind::Integer(1, 10_000_000),
    "none",
    "how many connections there may be; further ones are closed at once",
);

pub(super) const MAX_CONNECTIONS_PER_IP: Key = key(
    "max_connections_per_ip",
    Kind::Integer(1, 10_000_000),
    "none",
    "how many there may be from one address (IPv6: one /64) that is no trusted proxy",
);

pub(super) const MIN_BODY_RATE: Key = key(
    "min_body_rate",
    Kind::Size,
    "\"100B\"",
    "what a client must send of a body, and take of an answer, in a second, on average after ten seconds; `0B`: any",
);

pub(super) static RATE: Section = Section {
    keys: &[
        key(
            "per",
            Kind::ChoiceOr(&["user", "client_ip", "route"], &SUBJECT_HEADER),
            "\"client_ip\"",
            "whose requests are counted together; who is no known user is counted by the address",
        ),
        key("requests", Kind::Integer(1, 1_000_000_000), REQUIRED, "how many there may be in a window, on average"),
        key("window", Kind::Duration, "\"1s\"", "the window, from 1s to 1d"),
        key(
            "burst",
            Kind::Integer(1, 1_000_000_000),
            "none",
            "how many may come at once; none: as many as in a window",
        ),
        key(
            "max_keys",
            Kind::Integer(1, 10_000_000),
            "100000",
            "how many users or addresses are told apart at once, at 16 bytes each; beyond that they share what is left",
        ),
    ],
    later: &[],
};

impl RateLimit {
    pub(super) fn check(checker: &mut Checker<'_>, limits: &Table) -> Option<Self> {
        let (table, at) = limits.table("rate")?;
        let window = table.duration("window", Duration::from_secs(1));
        let window_at = table.get("window").map_or(at, |node| &node.at);
        if !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&window) {
            checker.problem(window_at, "a window is from 1s to 1d");
            return None;
        }
        let requests = table.count("requests")? as u64;
        let burst = table.count("burst").map_or(requests, |burst| burst as u64);
        let limit = Self {
            per: per(checker, table),
            requests,
            window,
            burst,
            max_keys: table.count("max_keys").unwrap_or(100_000),
        };
        if limit.interval() < Duration::from_micros(10) {
            checker.problem(at, "more than 100 000 requests a second cannot be told apart");
        }
        if limit.interval().as_secs_f64() * limit.burst as f64 > LONGEST.as_secs_f64() {
            checker.problem(at, "a burst of so many would take more than six days to come back");
        }
        Some(limit)
    }

    /// The time between two requests that are evenly spread.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.window.div_f64(self.requests as f64)
    }
}

fn per(checker: &mut Checker<'_>, table: &Table) -> Per {
    if let Some((table, at)) = table.table("per") {
        return Per::Subject(header(checker, table, at).unwrap_or(Subject::ClientIp));
    }
    match table.text("per").map_or("", |(text, _)| text) {
        "user" => Per::Subject(Subject::User),
        "route" => Per::Route,
        _ => Per::Subject(Subject::ClientIp),
    }
}

fn header(checker: &mut Checker<'_>, table: &Table, at: &At) -> Option<Subject> {
    let (_, text) = checker.one_of(table, at, &["header"])?;
    checker.header(text).map(Subject::Header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn rate(text: &str) -> Result<Option<RateLimit>, String> {
        let text = format!(
            "listeners = [{{ name = \"web\", address = \"127.0.0.1:0\" }}]\nupstreams.u.endpoints = [{{ address = \"127.0.0.1:9\" }}]\n\
             [[routes]]\nname = \"all\"\nupstream = \"u\"\n{text}\n"
        );
        let config = Config::parse("f", &text, std::iter::empty()).map_err(|error| error.to_string());
        config.map(|mut config| config.routes.remove(0).rate)
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        assert_eq!(rate("limits = { body = \"1KiB\" }"), Ok(None));
        let expected = RateLimit {
            per: Per::Subject(Subject::ClientIp),
            requests: 5,
            window: Duration::from_secs(1),
            burst: 5,
            max_keys: 100_000,
        };
        assert_eq!(rate("limits.rate = { requests = 5 }"), Ok(Some(expected)));
        for (per, expected) in [
            ("\"user\"", Per::Subject(Subject::User)),
            ("\"client_ip\"", Per::Subject(Subject::ClientIp)),
            ("\"route\"", Per::Route),
            ("{ header = \"X-Key\" }", Per::Subject(Subject::Header("x-key".parse().unwrap()))),
        ] {
            let text = format!("limits.rate = {{ requests = 100, window = \"1m\", burst = 7, per = {per} }}");
            let limit = rate(&text).unwrap().unwrap();
            assert_eq!((limit.per.clone(), limit.burst, limit.interval()), (expected, 7, Duration::from_millis(600)));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, expected) in [
            (
                "limits.rate = { per = \"user\" }",
                "f:6:15: `requests` is missing in routes[0].limits.rate: how many there may be in a window, on average",
            ),
            ("limits.rate = { requests = 1, window = \"10ms\" }", "f:6:40: a window is from 1s to 1d"),
            (
                "limits.rate = { requests = 1000000 }",
                "f:6:15: more than 100 000 requests a second cannot be told apart",
            ),
            (
                "limits.rate = { requests = 1, window = \"1d\", burst = 7 }",
                "f:6:15: a burst of so many would take more than six days to come back",
            ),
            ("limits.rate = { requests = 1, per = {} }", "f:6:37: exactly one of header must be given"),
            ("limits.rate = 1", "f:6:15: routes[0].limits.rate takes a table, not 1"),
        ] {
            assert_eq!(rate(text).unwrap_err(), expected, "{text}");
        }
    }
}
