//! `GET /routes`: the ways that requests can go through this gateway, and how the ends of them are.

use std::collections::HashMap;

use axum::{Json, extract::State};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Admin;
use crate::config::{Config, Route, Upstream, UpstreamIndex};

/// The metrics that tell how endpoints are.
const HEALTHY: &str = "flaggate_upstream_endpoint_healthy";
const EJECTED: &str = "flaggate_upstream_endpoint_ejected";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(ways))
}

/// The routes of this gateway with their strategies in the order in which they are asked, and its upstreams with the health of
/// each endpoint as this gateway sees it. `/traffic` tells how many requests go each way.
#[utoipa::path(
    get, path = "/routes", tag = "gateways", security(("token" = ["viewer"])),
    responses((status = 200, description = "`routes` and `upstreams`", body = Value, example = json!({
        "routes": [{
            "name": "shop", "match": { "hosts": [], "path_prefix": "/" }, "upstream": "v1", "flags": ["theme"],
            "strategies": [{ "strategy": "canary", "flag": "checkout-canary", "ways": [{ "variation": "true", "upstream": "v2" }] }]
        }],
        "upstreams": [{ "name": "v1", "endpoints": [{ "address": "127.0.0.1:8181", "weight": 1, "healthy": true, "ejected": false }] }]
    })))
)]
async fn ways(State(admin): State<Admin>) -> Json<Value> {
    let config = admin.config.get();
    let states = States::of(&admin);
    let routes = config.routes.iter().map(|route| told(&config, route));
    let upstreams = config.upstreams.iter().map(|upstream| states.told(upstream));
    Json(json!({ "routes": routes.collect::<Vec<_>>(), "upstreams": upstreams.collect::<Vec<_>>() }))
}

fn told(config: &Config, route: &Route) -> Value {
    let name = |index: UpstreamIndex| config.upstreams.get(index).map(|upstream| upstream.name.as_str());
    let way = |variation: &str, upstream| json!({ "variation": variation, "upstream": name(upstream) });
    let strategy = |name: &str, flag: &str, ways: Vec<Value>| json!({ "strategy": name, "flag": flag, "ways": ways });
    let features = route.features.iter().map(|feature| {
        let ways = feature.variations.iter().map(|(variation, upstream)| way(variation, *upstream));
        strategy("features", &feature.flag, ways.collect())
    });
    let canary = route.canary.iter().map(|canary| strategy("canary", &canary.flag, vec![way("true", canary.upstream)]));
    let sides = route
        .blue_green
        .iter()
        .map(|sides| strategy("blue_green", &sides.flag, vec![way("blue", sides.blue), way("green", sides.green)]));
    let mirror = route.mirror.iter().map(|mirror| strategy("mirror", &mirror.flag, vec![way("true", mirror.upstream)]));
    json!({
        "name": route.name,
        "match": {
            "hosts": route.matches.hosts,
            "path_prefix": route.matches.path_prefix,
            "methods": route.matches.methods.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "upstream": name(route.upstream),
        "strategies": features.chain(canary).chain(sides).chain(mirror).collect::<Vec<_>>(),
        "flags": route.flags,
    })
}

/// What the metrics say of endpoints, by metric, upstream and endpoint.
struct States(HashMap<(&'static str, String, String), bool>);

impl States {
    fn of(admin: &Admin) -> Self {
        let mut states = HashMap::new();
        for family in admin.registry.gather() {
            let Some(name) = [HEALTHY, EJECTED].into_iter().find(|name| *name == family.name()) else { continue };
            for metric in family.get_metric() {
                let label = |wanted| {
                    let found = metric.get_label().iter().find(|label| label.name() == wanted);
                    found.map(|label| label.value().to_owned()).unwrap_or_default()
                };
                states.insert((name, label("upstream"), label("endpoint")), metric.get_gauge().get_value() > 0.5);
            }
        }
        Self(states)
    }

    fn told(&self, upstream: &Upstream) -> Value {
        let endpoints = upstream.endpoints.iter().map(|endpoint| {
            let state = |metric| self.0.get(&(metric, upstream.name.clone(), endpoint.address.clone())).copied();
            json!({
                "address": endpoint.address,
                "weight": endpoint.weight,
                "healthy": state(HEALTHY),
                "ejected": state(EJECTED).unwrap_or(false),
            })
        });
        json!({ "name": upstream.name, "endpoints": endpoints.collect::<Vec<_>>() })
    }
}
