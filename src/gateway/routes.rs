//! The route table, compiled once.

use http::{HeaderMap, Method};

use super::path::below;
use crate::config::{Config, Match};

/// Finds routes: the longest host first, then the longest path prefix, then the order of the file.
#[derive(Debug)]
pub(super) struct RouteTable(Vec<(usize, Match)>);

impl RouteTable {
    pub(super) fn new(config: &Config) -> Self {
        let mut routes: Vec<(usize, Match)> = Vec::new();
        for (position, route) in config.routes.iter().enumerate() {
            // One entry for each host, so that hosts sort by their length.
            let hosts = route.matches.hosts.iter().map(|host| vec![host.clone()]);
            let hosts = if route.matches.hosts.is_empty() { vec![Vec::new()] } else { hosts.collect() };
            routes.extend(hosts.into_iter().map(|hosts| (position, Match { hosts, ..route.matches.clone() })));
        }
        routes.sort_by_key(|(position, matches)| {
            let host = matches.hosts.first().map_or((0, 0), |host| (host.len(), usize::from(!host.starts_with("*."))));
            (
                std::cmp::Reverse((host.1, host.0)),
                std::cmp::Reverse(matches.path_prefix.trim_end_matches('/').len()),
                *position,
            )
        });
        Self(routes)
    }

    /// The position of the route of a request; `host` is in lower case and without a port.
    pub(super) fn find(&self, host: &str, path: &str, method: &Method, headers: &HeaderMap) -> Option<usize> {
        let takes = |matches: &Match| {
            matches.hosts.first().is_none_or(|pattern| host_matches(pattern, host))
                && below(path, &matches.path_prefix).is_some()
                && (matches.methods.is_empty() || matches.methods.contains(method))
                && matches
                    .headers
                    .iter()
                    .all(|(name, value)| headers.get(name).is_some_and(|seen| seen.as_bytes() == value.as_bytes()))
        };
        self.0.iter().find(|(_, matches)| takes(matches)).map(|(position, _)| *position)
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(below) => host.len() > below.len() && host.ends_with(below),
        None => host == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wins() {
        let text = r#"
            listeners = [{ name = "web", address = "127.0.0.1:0" }]
            upstreams.u.endpoints = [{ address = "127.0.0.1:9" }]
            routes = [
                { name = "all", upstream = "u" },
                { name = "api", upstream = "u", match = { path_prefix = "/api" } },
                { name = "post", upstream = "u", match = { path_prefix = "/api/v2", methods = ["POST"] } },
                { name = "wild", upstream = "u", match = { hosts = ["*.shop.example"] } },
                { name = "shop", upstream = "u", match = { hosts = ["a.shop.example"] } },
                { name = "header", upstream = "u", match = { path_prefix = "/h", headers = { X-Beta = "1" } } },
            ]
        "#;
        let config = Config::parse("t", text, std::iter::empty()).unwrap();
        let table = RouteTable::new(&config);
        let name = |host: &str, path: &str, method: Method, header: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|value| (http::HeaderName::from_static("x-beta"), value.parse().unwrap())));
            table.find(host, path, &method, &headers).map(|position| config.routes[position].name.as_str())
        };
        for (host, path, method, header, expected) in [
            ("x", "/", Method::GET, None, "all"),
            ("x", "/api/v2", Method::GET, None, "api"),
            ("x", "/api/v2", Method::POST, None, "post"),
            ("x", "/api;v=2/x", Method::GET, None, "api"),
            ("x", "/apis", Method::GET, None, "all"),
            ("b.shop.example", "/api", Method::GET, None, "wild"),
            ("a.shop.example", "/api", Method::GET, None, "shop"),
            ("shop.example", "/", Method::GET, None, "all"),
            ("x", "/h", Method::GET, Some("1"), "header"),
            ("x", "/h", Method::GET, Some("2"), "all"),
        ] {
            assert_eq!(name(host, path, method, header), Some(expected), "{host}{path}");
        }
    }
}
