//! Upstreams and routes.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method};

use super::{
    Outlier, RateLimit, Retries, check::Checker, checked::*, error::At, mirror::Mirror, read::Table, sticky::Sticky,
};
use crate::model::did_you_mean;

/// The largest request body unless a route says otherwise: 10 MiB.
const BODY_LIMIT: u64 = 10 << 20;

impl Checker<'_> {
    pub(super) fn upstreams(&mut self, root: &Table) -> Vec<Upstream> {
        let entries = root.table("upstreams").into_iter().flat_map(|(table, _)| &table.entries);
        entries
            .filter_map(|(name, node)| Some((name, node.table()?, &node.at)))
            .map(|(name, table, at)| self.upstream(name, table, at))
            .collect()
    }

    fn upstream(&mut self, name: &str, table: &Table, at: &At) -> Upstream {
        if !is_label(name) {
            self.problem(
                at,
                format!("{name:?} is no name for an upstream: letters, digits, dots, dashes and underscores"),
            );
        }
        let mut endpoints = Vec::new();
        for (table, _) in table.tables("endpoints") {
            let Some(text) = table.text("address") else { continue };
            if let Some(address) = self.parse(text, "an address like \"10.0.0.1:8080\" or \"host:8080\"", endpoint) {
                endpoints.push(Endpoint { address, weight: table.count("weight").unwrap_or(1) });
            }
        }
        if let Some(node) = table.get("endpoints").filter(|_| table.list("endpoints").is_empty()) {
            self.problem(&node.at, format!("upstream {name:?} needs at least one endpoint"));
        }
        let empty = Table::default();
        let timeouts = table.table("timeouts").map_or(&empty, |(table, _)| table);
        Upstream {
            name: name.to_owned(),
            endpoints,
            load_balance: self.load_balance(table),
            protocol: self.protocol(table),
            tls: self.upstream_tls(table),
            timeouts: Timeouts {
                connect: timeouts.duration("connect", Duration::from_secs(1)),
                read: timeouts.duration("read", Duration::from_secs(30)),
                request: timeouts.duration("request", Duration::from_secs(60)),
            },
            retries: Retries::check(table),
            health_check: table.table("health_check").map(|(table, _)| self.health_check(table)),
            outlier: Outlier::check(table),
        }
    }

    fn health_check(&mut self, table: &Table) -> HealthCheck {
        let path = table.text("path").and_then(|text| self.path(text));
        HealthCheck {
            path,
            interval: table.duration("interval", Duration::from_secs(2)),
            timeout: table.duration("timeout", Duration::from_secs(1)),
            healthy: table.count("healthy").unwrap_or(2),
            unhealthy: table.count("unhealthy").unwrap_or(3),
        }
    }

    fn path(&mut self, text: (&str, &At)) -> Option<String> {
        let usable = |text: &str| {
            let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\'));
            (text.starts_with('/') && visible).then(|| text.to_owned())
        };
        self.parse(text, "a path like \"/checkout\"", usable)
    }

    pub(super) fn routes(&mut self, root: &Table) -> Vec<Route> {
        let (mut names, mut routes) = (Vec::new(), Vec::new());
        for (table, _) in root.tables("routes") {
            if let Some((name, at)) = table.text("name").filter(|(name, _)| !name.is_empty() && !is_label(name)) {
                self.problem(
                    at,
                    format!("{name:?} is no name for a route: letters, digits, dots, dashes and underscores"),
                );
            }
            let name = self.once(&mut names, "route", table.text("name"));
            routes.push(self.route(name, table));
        }
        if let Some(node) = root.get("routes").filter(|_| routes.is_empty()) {
            self.problem(&node.at, "there must be at least one route");
        }
        routes
    }

    fn route(&mut self, name: String, table: &Table) -> Route {
        let empty = Table::default();
        let rewrite = table.table("rewrite").map_or(&empty, |(table, _)| table);
        let limits = table.table("limits").map_or(&empty, |(table, _)| table);
        Route {
            name,
            matches: self.matches(table),
            upstream: self.upstream_named(table.text("upstream")),
            features: table.tables("features").map(|(table, _)| self.feature(table)).collect(),
            canary: table.table("canary").map(|(table, _)| Canary {
                flag: self.flag(table.text("flag")),
                upstream: self.upstream_named(table.text("upstream")),
            }),
            blue_green: table.table("blue_green").map(|(table, _)| BlueGreen {
                flag: self.flag(table.text("flag")),
                blue: self.upstream_named(table.text("blue")),
                green: self.upstream_named(table.text("green")),
            }),
            mirror: table.table("mirror").map(|(table, _)| self.mirror(table)),
            flags: table.texts("flags").map(|text| self.flag(Some(text))).collect(),
            flag_headers: table.tables("flag_headers").filter_map(|(table, at)| self.flag_header(table, at)).collect(),
            expose: table.boolean("expose", false),
            rewrite: Rewrite { strip_prefix: rewrite.text("strip_prefix").and_then(|text| self.path(text)) },
            body_limit: limits.size("body", BODY_LIMIT),
            rate: RateLimit::check(self, limits),
            merge_slashes: table.boolean("merge_slashes", true),
            vary: table.boolean("vary", true),
            sticky: table.table("sticky").map(|(table, at)| Sticky::check(self, table, at)),
            on_flip: match table.text("on_flip") {
                Some(("drain", _)) => OnFlip::Drain,
                _ => OnFlip::Pin,
            },
            require_jwt: self.require_jwt(table),
        }
    }

    fn require_jwt(&mut self, table: &Table) -> bool {
        let required = table.boolean("require_jwt", self.jwt_required.unwrap_or(false));
        if let (true, None, Some(node)) = (required, self.jwt_required, table.get("require_jwt")) {
            self.problem(&node.at, "this needs `[context.jwt]`, which says whose tokens are believed");
        }
        required
    }

    fn matches(&mut self, route: &Table) -> Match {
        let empty = Table::default();
        let table = route.table("match").map_or(&empty, |(table, _)| table);
        let mut headers = Vec::new();
        for (name, node) in table.table("headers").into_iter().flat_map(|(table, _)| &table.entries) {
            let Some(value) = node.text() else { continue };
            if HeaderValue::from_str(value).is_err() {
                self.problem(&node.at, format!("{value:?} cannot be a header's value"));
            }
            headers.extend(self.header((name, &node.at)).map(|name| (name, value.to_owned())));
        }
        Match {
            hosts: table
                .texts("hosts")
                .filter_map(|text| self.parse(text, "a host name like \"shop.example\" or \"*.shop.example\"", host))
                .collect(),
            path_prefix: table.text("path_prefix").and_then(|text| self.path(text)).unwrap_or_else(|| "/".to_owned()),
            methods: table
                .texts("methods")
                .filter_map(|text| self.parse(text, "a method like \"GET\"", method))
                .collect(),
            headers,
        }
    }

    fn mirror(&mut self, table: &Table) -> Mirror {
        let mut methods: Vec<Method> =
            table.texts("methods").filter_map(|text| self.parse(text, "a method like \"GET\"", method)).collect();
        if let Some(node) = table.get("methods").filter(|_| table.list("methods").is_empty()) {
            self.problem(&node.at, "a mirror needs at least one method; leave `methods` out for GET and HEAD");
        }
        if methods.is_empty() {
            methods = vec![Method::GET, Method::HEAD];
        }
        Mirror {
            flag: self.flag(table.text("flag")),
            upstream: self.upstream_named(table.text("upstream")),
            percent: table.count("percent").unwrap_or(100) as u64,
            methods,
            body_hash: table.boolean("body_hash", false),
            credentials: table.boolean("credentials", false),
            timeout: table.duration("timeout", Duration::from_secs(5)),
            max_in_flight: table.count("max_in_flight").unwrap_or(64),
        }
    }

    fn feature(&mut self, table: &Table) -> Feature {
        let entries = table.table("variations").map(|(table, at)| (&table.entries, at));
        let mut variations = Vec::new();
        for (variation, node) in entries.iter().flat_map(|(entries, _)| entries.iter()) {
            let upstream = node.text().map(|text| (text, &node.at));
            variations.push((variation.clone(), self.upstream_named(upstream)));
        }
        if let Some((_, at)) = entries.filter(|(entries, _)| entries.is_empty()) {
            self.problem(at, "a feature needs at least one variation = upstream");
        }
        Feature { flag: self.flag(table.text("flag")), variations }
    }

    fn flag_header(&mut self, table: &Table, at: &At) -> Option<FlagHeader> {
        let flag = self.flag(table.text("flag"));
        let usable = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
        let default = format!("x-flag-{}", flag.chars().map(usable).collect::<String>());
        let header = match table.text("header") {
            Some(text) => self.header(text)?,
            None => self.header((&default, at))?,
        };
        Some(FlagHeader { flag, header })
    }

    fn flag(&mut self, text: Option<(&str, &At)>) -> Arc<str> {
        if let Some((_, at)) = text.filter(|(text, _)| text.is_empty()) {
            self.problem(at, "a flag's key cannot be empty");
        }
        text.map_or("", |(text, _)| text).into()
    }

    fn upstream_named(&mut self, text: Option<(&str, &At)>) -> UpstreamIndex {
        let Some((name, at)) = text else { return 0 };
        self.upstreams.iter().position(|known| known == name).unwrap_or_else(|| {
            let hint = did_you_mean(name, self.upstreams.iter().map(String::as_str));
            self.problem(at, format!("there is no upstream {name:?}{hint}"));
            0
        })
    }
}

/// What can stand in a header, a log line and a label without quoting.
fn is_label(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn endpoint(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = bare
        .map_or_else(|| host.parse::<std::net::Ipv4Addr>().is_ok(), |host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    ((is_address || self::host(host).is_some_and(|host| !host.starts_with('*'))) && is_port).then(|| text.to_owned())
}

/// A host name in lower case, perhaps with `*.` in front.
fn host(text: &str) -> Option<String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !label.is_empty() && label.len() <= 63 && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    let address = name.parse::<std::net::IpAddr>().is_ok();
    (name.len() <= 253 && (address || name.split('.').all(label))).then(|| text.to_ascii_lowercase())
}

fn method(text: &str) -> Option<Method> {
    let upper = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let refused = matches!(text, "TRACE" | "CONNECT");
    text.parse().ok().filter(|_| upper && !refused)
}
