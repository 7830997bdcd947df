//! What would become of a request that is not sent, by the very code that decides for those that are.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use pingora::http::RequestHeader;
use prometheus::IntGauge;
use serde_json::{Map, Value, json};

use super::{
    decide::Tried,
    exchange::Exchange,
    failure::Failure,
    request::{Prepared, Seen, Taken, Witness},
    routing::RoutingCell,
    service::Parts,
    upstream::Upstreams,
};
use crate::{config::Route, drain::Drain, model::ImaginedRequest, profiles::Found, snapshot::SnapshotCell};

/// Explains requests that are not sent.
#[derive(Debug)]
pub struct Explainer {
    cell: SnapshotCell,
    routing: RoutingCell,
    /// What is only imagined is no request in flight.
    in_flight: Drain,
}

/// There is no listener of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no listener {asked:?}; there is: {}", known.join(", "))]
pub struct UnknownListener {
    /// Which one was asked for.
    asked: String,
    known: Vec<String>,
}

impl Explainer {
    /// Explains by what the gateway of these parts does.
    ///
    /// # Panics
    /// Never: the name of the gauge is right.
    #[must_use]
    pub fn new(parts: &Parts) -> Self {
        let gauge = IntGauge::new("imagined", "not registered").expect("the name is right");
        Self { cell: parts.cell.clone(), routing: parts.routing.clone(), in_flight: Drain::new(gauge) }
    }

    /// Tells the listener, the route, each strategy with what it said, the upstream, the context, what the upstream would
    /// be told, and the whole evaluation of each flag that the route names. Nothing of it is counted.
    ///
    /// # Errors
    /// There is no such listener.
    pub async fn explain(&self, request: &ImaginedRequest) -> Result<Value, UnknownListener> {
        let asked = request.listener.as_ref();
        let routing = self.routing.load();
        let names = routing.config.listeners.iter().map(|listener| &listener.name);
        let found = names.clone().zip(&routing.requests).find(|(name, _)| asked.is_none_or(|asked| asked == *name));
        let (name, requests) = found.ok_or_else(|| UnknownListener {
            asked: asked.cloned().unwrap_or_default(),
            known: names.cloned().collect(),
        })?;
        let upstreams = &routing.upstreams;
        let mut exchange = Exchange::new(self.cell.load(), Arc::clone(&routing), self.in_flight.enter());
        let revision = exchange.snapshot.revision().map(ToString::to_string);
        let mut told = Map::from_iter([("revision".to_owned(), json!(revision)), ("listener".to_owned(), json!(name))]);
        let mut tell = |name: &str, value: Value| told.insert(name.to_owned(), value);
        let peer = request.peer.unwrap_or(IpAddr::from(Ipv4Addr::LOCALHOST)).to_canonical();
        let taken = header(request).and_then(|mut header| {
            let taken = requests.take(&mut header, peer, &mut exchange)?;
            Ok((header, taken))
        });
        let route = exchange.route.map(|route| &routing.config.routes[route]);
        tell("route", json!(route.map(|route| &route.name)));
        let (header, taken) = match taken {
            Ok(taken) => taken,
            Err(failure) => {
                tell("refused", refused(&failure));
                return Ok(told.into());
            }
        };
        tell("peer", json!({ "address": peer, "client": taken.client, "trusted": taken.trusted }));
        let mut notes = Notes { upstreams, tried: Vec::new(), told: Map::new() };
        let prepared = requests.prepare(&taken, &header, &mut exchange, upstreams, &mut notes).await;
        let Notes { tried, told: noted, .. } = notes;
        tell("decision", decision(upstreams, &prepared, &noted));
        tell("strategies", tried.into());
        told.extend(noted);
        // How its token fared stands beside what came of it.
        if let (Some(outcome), Some(context)) = (exchange.token, told.get_mut("context")) {
            context["token"] = outcome.as_str().into();
        }
        told.insert("forwarded".to_owned(), forwarded(&header, &taken, &prepared));
        Ok(told.into())
    }
}

fn decision(upstreams: &Upstreams, prepared: &Prepared, noted: &Map<String, Value>) -> Value {
    json!({
        "strategy": prepared.strategy,
        "upstream": **upstreams.name(prepared.upstream),
        "fell_back": noted.get("fell_back"),
        "available": upstreams.is_available(prepared.upstream),
        "mirrored": prepared.is_mirrored,
    })
}

/// What is seen on the way to a decision.
struct Notes<'u> {
    upstreams: &'u Upstreams,
    tried: Vec<Value>,
    told: Map<String, Value>,
}

impl Witness for Notes<'_> {
    fn begin(&mut self) {
        self.tried.clear();
        self.told.clear();
    }

    fn tried(&mut self, tried: &Tried<'_>) {
        let result = match (tried.upstream, tried.variation) {
            (Some(_), _) if tried.is_taken => "taken",
            (Some(_), _) if tried.killed_by.is_some() => "killed",
            (Some(_), _) => "upstream_unhealthy",
            (None, Some(_)) => "no_match",
            (None, None) => "unknown_flag",
        };
        let mut told = json!({
            "strategy": tried.strategy,
            "flag": tried.flag,
            "variation": tried.variation,
            "upstream": tried.upstream.map(|upstream| self.upstreams.name(upstream).to_string()),
            "result": result,
        });
        if let Some(switch) = tried.killed_by {
            told["killed_by"] = switch.into();
        }
        self.tried.push(told);
    }

    fn decided(&mut self, seen: &Seen<'_>) {
        let profile = match seen.found {
            None => "not_asked_for",
            Some(Found::Profile(Some(_))) => "found",
            Some(Found::Profile(None)) => "none",
            Some(Found::Unavailable) => "unavailable",
        };
        let context = json!({
            "user_id": seen.context.user_id,
            "drawn": seen.is_drawn,
            "attributes": seen.said.all(),
            "profile": profile,
        });
        let flags = named(seen.route).into_iter().map(|key| {
            let mut told = match seen.snapshot.flag(key) {
                Some(flag) => seen.snapshot.explain(flag, seen.context),
                None => json!({ "key": key, "error": "there is no such flag" }),
            };
            // The others were not needed to decide, nor is the upstream told of them.
            told["evaluated"] = seen.flags.has_seen(key).into();
            told
        });
        let flags: Vec<Value> = flags.collect();
        self.told.insert("fell_back".to_owned(), seen.decision.fell_back.into());
        self.told.insert("context".to_owned(), context);
        self.told.insert("flags".to_owned(), flags.into());
    }
}

/// The flags that a route names, each once, in the order in which they are asked for.
fn named(route: &Route) -> Vec<&str> {
    let features = route.features.iter().map(|feature| &feature.flag);
    let strategies = features.chain(route.canary.iter().map(|canary| &canary.flag));
    let strategies = strategies.chain(route.blue_green.iter().map(|sides| &sides.flag));
    let shown = route.flags.iter().chain(route.flag_headers.iter().map(|own| &own.flag));
    let mut named: Vec<&str> = Vec::new();
    for key in strategies.chain(shown) {
        if !named.contains(&&**key) {
            named.push(key);
        }
    }
    named
}

/// What the parser would make of the request.
fn header(request: &ImaginedRequest) -> Result<RequestHeader, Failure> {
    let malformed = || Failure {
        close: true,
        ..Failure::new(http::StatusCode::BAD_REQUEST, "bad_request", "the request is malformed")
    };
    // No target with such a byte comes through the parser.
    if request.path.is_empty() || request.path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(malformed());
    }
    let built = RequestHeader::build(request.method.as_str(), request.path.as_bytes(), Some(request.headers.len()));
    let mut header = built.map_err(|_| malformed())?;
    for (name, value) in &request.headers {
        header.append_header(name.clone(), value.as_bytes()).map_err(|_| malformed())?;
    }
    Ok(header)
}

fn refused(failure: &Failure) -> Value {
    json!({
        "status": failure.status.map(|status| status.as_u16()),
        "code": failure.code,
        "detail": failure.detail,
    })
}

/// What would reach the upstream, as far as the gateway has a say in it.
fn forwarded(header: &RequestHeader, taken: &Taken, prepared: &Prepared) -> Value {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Map<String, Value> =
        prepared.inject.iter().map(|(name, value)| (name.to_string(), text(value).into())).collect();
    json!({
        "method": header.method.as_str(),
        "host": taken.host,
        "path": String::from_utf8_lossy(header.raw_path()),
        "headers": headers,
    })
}
