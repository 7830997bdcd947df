//! `/openapi.json`: what the annotations of the handlers say, with what they all have in common; and `/docs`, which shows
//! it.

mod parameters;
mod viewer;

use std::borrow::Cow;

use axum::{
    Extension,
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::Object},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, access::SCHEME};

pub(super) use parameters::{Changing, Entries, IfMatch, Killing, Writing};
pub(super) use viewer::router as viewer;

/// The schemas of bodies.
const SCHEMAS: &str = include_str!("schemas.json");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "flaggate",
        description = "The flag service of a flaggate gateway. A token goes into `Authorization: Bearer …` or `X-API-Key`. \
                       Roles: client < viewer < operator < editor < admin; each may what the ones before it may.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "flags", description = "Flags as documents."),
        (name = "segments", description = "Named sets of users, and who is in them."),
        (name = "deployments", description = "What is delivered, in stages, and how far it is."),
        (name = "kill switches", description = "What forces flags to their default, and requests to their route's own upstream."),
        (name = "evaluation", description = "What a flag gives a user."),
        (name = "ofrep", description = "The OpenFeature remote evaluation protocol."),
        (name = "live", description = "Changes as they happen."),
        (name = "profiles", description = "What is stored of users, and what they do now."),
        (name = "models", description = "Trained models, which segments ask."),
        (name = "history", description = "What was, and who changed it."),
        (name = "transfer", description = "Taking flags out and in."),
        (name = "access", description = "Who calls."),
        (name = "gateways", description = "The gateways that share the store."),
        (name = "analytics", description = "What flags do to the traffic, and to what users do."),
        (name = "health", description = "How this gateway is."),
    )
)]
struct Api;

/// Names a schema of `schemas.json` in an annotation.
macro_rules! schemas {
    ($($name:ident),*) => {
        $(
            #[doc = concat!("The schema `", stringify!($name), "`.")]
            #[derive(Debug)]
            pub(super) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    Object::new().into()
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )*
    };
}

schemas!(
    Flag,
    NewFlag,
    Segment,
    NewSegment,
    Deployment,
    NewDeployment,
    Conducted,
    KillSwitch,
    NewKillSwitch,
    Kill,
    Lift,
    Killed,
    EvaluateSegments,
    Memberships,
    Written,
    Evaluation,
    EvaluateRequest,
    Track,
    Profile,
    NewProfile,
    WrittenProfile,
    ProfilePage,
    Activity,
    EstimateRequest,
    Estimate,
    Overlap,
    RecomputeRequest,
    Recompute,
    Refusal,
    Problem
);

/// A router that collects annotations.
pub(super) fn collecting() -> OpenApiRouter<Admin> {
    OpenApiRouter::with_openapi(Api::openapi()).routes(routes!(openapi))
}

/// The document as it is served.
#[derive(Clone, Debug)]
pub(super) struct Served(Bytes);

impl Served {
    pub(super) fn new(document: &Value) -> Self {
        Self(document.to_string().into())
    }
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "health", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Value))
)]
async fn openapi(Extension(Served(document)): Extension<Served>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(document)).into_response()
}

/// What the annotations say, with schemas, ways to show who one is, and the answers that any route can give.
pub(super) fn finish(collected: &utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(collected).unwrap_or_default();
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    if let (Some(all), Value::Object(schemas)) = (document["components"]["schemas"].as_object_mut(), schemas) {
        all.extend(schemas);
    }
    document["components"]["securitySchemes"] = json!({
        SCHEME: { "type": "http", "scheme": "bearer", "description": "the roles that a route needs are its scopes" },
        "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
        "session": { "type": "apiKey", "in": "cookie", "name": "flaggate_session" },
    });
    name_apart(&mut document["paths"]);
    let paths = document["paths"].as_object_mut();
    for operation in
        paths.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut).flat_map(Map::values_mut)
    {
        complete(operation);
    }
    document
}

/// Gives operations that are called alike ids of their own, by method and path: generators go by them.
fn name_apart(paths: &mut Value) {
    let mut all = Vec::new();
    for (path, item) in paths.as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            all.push((path.clone(), method.clone(), operation["operationId"].clone()));
        }
    }
    for (path, method, id) in &all {
        if all.iter().filter(|(_, _, other)| other == id).count() > 1 {
            let words = path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            let named = words.fold(method.clone(), |named, word| named + "_" + word);
            paths[path][method]["operationId"] = named.into();
        }
    }
}

/// Adds what every operation has.
fn complete(operation: &mut Value) {
    let scopes = operation["security"][0][SCHEME].clone();
    let problem = |description: &str| {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } })
    };
    let mut common = vec![
        ("403", problem("the role does not suffice, or the request comes from a page of another site")),
        ("408", problem("the request was not answered in time")),
    ];
    if let (true, Some(alternatives)) = (scopes.is_array(), operation["security"].as_array_mut()) {
        alternatives.extend(["key", "session"].map(|scheme| json!({ scheme: scopes })));
        common.push(("401", problem("no token that holds")));
        common.push(("429", problem("the token asks more than it may; `Retry-After` says for how long")));
        common.push(("503", problem("the store is down or was refused, or the gateway is stopping")));
    }
    if let Some(responses) = operation["responses"].as_object_mut() {
        for (status, response) in common {
            responses.entry(status).or_insert(response);
        }
        responses.sort_keys();
    }
}
