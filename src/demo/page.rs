//! What a demo upstream answers: who it is, and what the gateway told it.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, Uri};
use serde::Serialize;

/// What a demo upstream says of itself and of the request.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// The name of the upstream.
    upstream: String,
    /// The version of the application that it stands in for: what its name begins with.
    version: String,
    method: String,
    path: String,
    /// What the gateway told: the user, the flags, the decision, the request id, where the request came from.
    told: BTreeMap<String, String>,
    /// The decision, taken apart.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    decision: BTreeMap<String, String>,
}

impl Answer {
    pub(super) fn new(upstream: &str, method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let mut told = BTreeMap::new();
        for (name, value) in headers.iter().filter(|(name, _)| is_told(name.as_str())) {
            let value = String::from_utf8_lossy(value.as_bytes());
            told.entry(name.to_string())
                .and_modify(|all: &mut String| *all += &format!(", {value}"))
                .or_insert(value.into());
        }
        Self {
            upstream: upstream.to_owned(),
            version: upstream.split('-').next().unwrap_or_default().to_owned(),
            method: method.to_string(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            decision: told.get("x-flaggate-route").map(|route| decision(route)).unwrap_or_default(),
            told,
        }
    }
}

fn is_told(name: &str) -> bool {
    name.starts_with("x-") || name == "traceparent"
}

/// `shop;strategy=canary;upstream=v2` is route `shop`, strategy `canary`, upstream `v2`.
fn decision(route: &str) -> BTreeMap<String, String> {
    let entry = |part: &str| match part.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => ("route".to_owned(), part.to_owned()),
    };
    route.split(';').map(entry).collect()
}

/// The answer as a page, in the colour of the upstream.
pub(super) fn html(answer: &Answer) -> String {
    let rows: String = answer
        .told
        .iter()
        .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value)))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{upstream}</title>\n\
         <style>body{{font:16px system-ui;margin:0}}header{{background:{color};color:#fff;padding:2rem}}\
         h1{{margin:0}}main{{padding:1rem 2rem}}th{{text-align:left;padding-right:1rem;font-weight:600}}\
         td{{font-family:monospace;overflow-wrap:anywhere}}</style>\n\
         <header><h1>{upstream}</h1><p>version {version} answered {method} {path}</p></header>\n\
         <main><table>\n{rows}</table></main></html>\n",
        upstream = escape(&answer.upstream),
        version = escape(&answer.version),
        method = escape(&answer.method),
        path = escape(&answer.path),
        color = color(&answer.upstream),
    )
}

/// A dark enough colour for white text: one that the name says, or else one that follows from it.
fn color(name: &str) -> String {
    const NAMED: [(&str, &str); 5] = [
        ("blue", "#1d4ed8"),
        ("green", "#15803d"),
        ("canary", "#a16207"),
        ("feature-a", "#7e22ce"),
        ("feature-b", "#be185d"),
    ];
    if let Some((_, color)) = NAMED.iter().find(|(word, _)| name.contains(word)) {
        return (*color).to_owned();
    }
    let hue = name.bytes().fold(0_u32, |hue, byte| (hue * 31 + u32::from(byte)) % 360);
    format!("hsl({hue} 60% 30%)")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer::new("v2-canary", &Method::GET, &"/cart?a=1".parse().unwrap(), &headers)
    }

    #[test]
    fn only_what_the_gateway_tells_is_shown() {
        let answer =
            answer(&[("x-user-id", "user-1"), ("cookie", "secret"), ("traceparent", "00"), ("x-flags", "a=1")]);
        let told: Vec<&str> = answer.told.keys().map(String::as_str).collect();
        assert_eq!(told, ["traceparent", "x-flags", "x-user-id"]);
        assert_eq!((answer.version.as_str(), answer.path.as_str()), ("v2", "/cart?a=1"));
    }

    #[test]
    fn a_header_that_comes_twice_is_shown_twice() {
        assert_eq!(answer(&[("x-user-id", "a"), ("x-user-id", "b")]).told["x-user-id"], "a, b");
    }

    #[test]
    fn the_decision_is_taken_apart() {
        let answer = answer(&[("x-flaggate-route", "shop;strategy=canary;upstream=v2-canary;revision=4")]);
        let parts: Vec<(&str, &str)> =
            answer.decision.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(parts, [("revision", "4"), ("route", "shop"), ("strategy", "canary"), ("upstream", "v2-canary")]);
    }

    #[test]
    fn the_page_escapes_what_clients_say() {
        let page = html(&answer(&[("x-user-id", "<script>alert('x')</script>")]));
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)") && !page.contains("<script>"), "{page}");
    }

    #[test]
    fn every_upstream_has_a_colour_of_its_own() {
        let names = ["v1-blue", "v1-green", "v2-canary", "v2-feature-a", "v2-feature-b", "other"];
        let colors: std::collections::BTreeSet<String> = names.iter().map(|name| color(name)).collect();
        assert_eq!(colors.len(), names.len());
    }
}
