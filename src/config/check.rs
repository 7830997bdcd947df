//! From known keys to the checked configuration: names resolve, addresses parse, nothing is there twice.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::HeaderName;
use jiff::Timestamp;

use super::{
    access_log::AccessLog,
    analytics::Analytics,
    checked::*,
    context::ContextConfig,
    error::{At, Problem},
    events::{Events, Privacy},
    explain::Explain,
    files::Files,
    outbound::Outbound,
    read::Table,
    recent::Recent,
    server::Server,
    sticky::StickyKey,
    tracing::Tracing,
    units::Share,
};

/// Checks a configuration; what comes out is only good when no problem was noted.
pub(super) fn check(root: &Table, problems: &mut Vec<Problem>) -> Config {
    let mut checker = Checker {
        problems,
        upstreams: upstream_names(root),
        files: Files::default(),
        jwt_required: None,
        has_sticky_keys: false,
        sticky_cookies: Vec::new(),
    };
    let context = ContextConfig::check(&mut checker, root);
    checker.jwt_required = context.jwt.as_ref().map(|jwt| jwt.required);
    let sticky = StickyKey::all(&mut checker, root);
    checker.has_sticky_keys = !sticky.is_empty();
    let store = checker.store(root);
    Config {
        analytics: Analytics::check(root),
        events: Events::check(&mut checker, root, &store),
        privacy: Privacy::check(&mut checker, root),
        explain: Explain::check(&mut checker, root),
        sticky,
        store,
        listeners: checker.listeners(root),
        admin: checker.admin(root),
        tracing: Tracing::check(&mut checker, root, context.accept_identity_from),
        context,
        profiles: profiles(root),
        recent: Recent::check(root),
        inject: checker.inject(root),
        upstreams: checker.upstreams(root),
        routes: checker.routes(root),
        access_log: AccessLog::check(&mut checker, root),
        server: Server::check(root),
        outbound: Outbound::check(&mut checker, root),
        files: checker.files,
    }
}

pub(super) struct Checker<'p> {
    problems: &'p mut Vec<Problem>,
    /// The names of all upstreams, in their order.
    pub(super) upstreams: Vec<String>,
    /// What was read besides the configuration itself.
    pub(super) files: Files,
    /// Whether routes want a token unless they say otherwise; none: there are none.
    pub(super) jwt_required: Option<bool>,
    /// Whether there is anything to sign the cookies of sticky routes with.
    pub(super) has_sticky_keys: bool,
    /// The cookies of sticky routes so far.
    pub(super) sticky_cookies: Vec<String>,
}

impl Checker<'_> {
    pub(super) fn problem(&mut self, at: &At, message: impl Into<String>) {
        self.problems.push(Problem { at: at.clone(), message: message.into() });
    }

    /// Parses a text, with a message for one that cannot be.
    pub(super) fn parse<T>(
        &mut self,
        (text, at): (&str, &At),
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(text);
        if parsed.is_none() {
            self.problem(at, format!("{text:?} is not {wanted}"));
        }
        parsed
    }

    pub(super) fn time(&mut self, text: (&str, &At)) -> Option<Timestamp> {
        self.parse(text, "a time like \"2027-01-31T00:00:00Z\"", |text| text.parse().ok())
    }

    pub(super) fn share(&mut self, text: (&str, &At)) -> Option<Share> {
        self.parse(text, "a share like \"1%\" or \"0.05%\", \"100%\" at most", Share::parse)
    }

    pub(super) fn header(&mut self, text: (&str, &At)) -> Option<HeaderName> {
        let usable = |text: &str| text.parse().ok().filter(|_| !text.contains('_'));
        self.parse(text, "a header name (letters, digits and dashes)", usable)
    }

    fn headers(&mut self, table: Option<&Table>, name: &str, default: &'static str) -> HeaderName {
        let given = table.and_then(|table| table.text(name)).and_then(|text| self.header(text));
        given.unwrap_or_else(|| HeaderName::from_static(default))
    }

    pub(super) fn address(&mut self, table: &Table) -> SocketAddr {
        let fallback = SocketAddr::from(([127, 0, 0, 1], 0));
        let Some(text) = table.text("address") else { return fallback };
        self.parse(text, "an address like \"0.0.0.0:8080\"", |text| text.parse().ok()).unwrap_or(fallback)
    }

    /// Notes a name that was there before.
    pub(super) fn once<'t>(&mut self, seen: &mut Vec<&'t str>, what: &str, named: Option<(&'t str, &At)>) -> String {
        let Some((name, at)) = named else { return String::new() };
        if name.is_empty() {
            self.problem(at, format!("a {what} needs a name"));
        } else if seen.contains(&name) {
            self.problem(at, format!("there are two {what}s named {name:?}"));
        }
        seen.push(name);
        name.to_owned()
    }

    fn store(&mut self, root: &Table) -> Store {
        let empty = Table::default();
        let table = root.table("store").map_or(&empty, |(table, _)| table);
        let path = |name: &str| table.text(name).map(|(text, _)| PathBuf::from(text));
        let kind = match table.text("kind") {
            Some(("redis", at)) => StoreKind::Redis(Box::new(self.redis(table, at))),
            Some(("memory", _)) => StoreKind::Memory,
            _ => StoreKind::Embedded { path: path("path").unwrap_or_else(|| PathBuf::from("data/flaggate.redb")) },
        };
        if !matches!(kind, StoreKind::Redis(_)) {
            self.no_redis(table);
        }
        let ready_stale_after =
            table.get("ready_stale_after").map(|_| table.duration("ready_stale_after", Duration::MAX));
        Store {
            kind,
            backup: path("backup"),
            seed: path("seed"),
            seed_segments: path("seed_segments"),
            ready_stale_after,
        }
    }

    /// The one key of several that must be there alone.
    pub(super) fn one_of<'t>(
        &mut self,
        table: &'t Table,
        at: &At,
        names: &[&'static str],
    ) -> Option<(&'static str, (&'t str, &'t At))> {
        let mut given = names.iter().filter_map(|name| Some((*name, table.text(name)?)));
        match (given.next(), given.next()) {
            (Some(one), None) => Some(one),
            _ => {
                self.problem(at, format!("exactly one of {} must be given", names.join(", ")));
                None
            }
        }
    }

    pub(super) fn cookie(&mut self, text: (&str, &At)) -> Option<String> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        self.parse(text, "a cookie's name", |text| {
            (!text.is_empty() && text.bytes().all(token)).then(|| text.to_owned())
        })
    }

    fn inject(&mut self, root: &Table) -> Inject {
        let table = root.table("inject").map(|(table, _)| table);
        let texts = |name: &str| {
            table.into_iter().flat_map(|table| table.texts(name)).map(|(text, _)| text.to_owned()).collect()
        };
        let inject = Inject {
            user_id: self.headers(table, "user_id", "x-user-id"),
            user_segments: self.headers(table, "user_segments", "x-user-segments"),
            user_context: self.headers(table, "user_context", "x-user-context"),
            segments: texts("segments"),
            context_attributes: texts("context_attributes"),
            flags: self.headers(table, "flags", "x-flags"),
            route: self.headers(table, "route", "x-flaggate-route"),
            request_id: self.headers(table, "request_id", "x-request-id"),
            baggage: table.is_some_and(|table| table.boolean("baggage", false)),
        };
        let mut names = [
            &inject.user_id,
            &inject.user_segments,
            &inject.user_context,
            &inject.flags,
            &inject.route,
            &inject.request_id,
        ];
        names.sort_by_key(|name| name.as_str());
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_string());
        if let (Some(name), Some((_, at))) = (twice, root.table("inject")) {
            self.problem(at, format!("two of the injected headers are named {name:?}"));
        }
        inject
    }
}

fn upstream_names(root: &Table) -> Vec<String> {
    let entries = root.table("upstreams").into_iter().flat_map(|(table, _)| &table.entries);
    entries.filter(|(_, node)| node.table().is_some()).map(|(name, _)| name.clone()).collect()
}

fn profiles(root: &Table) -> Profiles {
    let empty = Table::default();
    let table = root.table("profiles").map_or(&empty, |(table, _)| table);
    Profiles {
        enabled: table.boolean("enabled", true),
        budget: table.duration("budget", Duration::from_millis(5)),
        cache_entries: table.count("cache_entries").unwrap_or(100_000),
        cache_ttl: table.duration("cache_ttl", Duration::from_secs(30)),
    }
}
