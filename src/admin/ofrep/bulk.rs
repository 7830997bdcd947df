//! `POST /ofrep/v1/evaluate/flags`.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::{self, Item},
    etag, events,
    failure::{Failure, Refused, Unanswered},
    request,
};
use crate::{
    admin::{Admin, told::Wanted},
    eval::FlagIndex,
    model::{Context, WorldRevision},
};

/// How long an answer waits for a change that the client was told of by another gateway.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Every flag for one context, and where changes are told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OfrepBulk)]
struct Bulk<'s> {
    flags: Vec<Item<'s>>,
    event_streams: [EventStream; 1],
    metadata: SetMetadata,
}

/// Where changes are told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OfrepEventStream)]
struct EventStream {
    #[serde(rename = "type")]
    kind: &'static str,
    endpoint: Endpoint,
    /// A client that nobody looks at closes its connection after so many seconds.
    inactivity_delay_sec: u32,
}

/// The way to a stream, from the origin that the client knows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OfrepEndpoint)]
struct Endpoint {
    request_uri: String,
}

/// What there is to say of all flags together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OfrepSetMetadata)]
struct SetMetadata {
    /// The revision of the flags.
    flaggate_revision: String,
    /// `profile_unavailable`: what is stored of the user could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    flaggate_detail: Option<&'static str>,
}

/// Evaluates all flags
///
/// One bad flag does not fail the others: it has an `errorCode` instead of a value. `ETag` stands for the flags, the context
/// and the answer; with it as `If-None-Match` an unchanged answer is a 304.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags",
    operation_id = "ofrepEvaluateFlags",
    tag = "ofrep",
    security(("token" = ["client"])),
    params(
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of earlier answers"),
        ("flagConfigEtag" = Option<String>, Query, description = "The `etag` of the event that caused this request: the answer waits up to 1 s for that change, and is no 304 unless these flags are served"),
        ("flagConfigLastModified" = Option<String>, Query, description = "The `lastModified` of that event; the `etag` says more, so this one is not looked at"),
    ),
    request_body(
        content = Option<Value>,
        description = "The evaluation context: the user's id as `targetingKey`, and attributes",
        example = json!({ "context": { "targetingKey": "user-123", "plan": "premium", "country": "CA" } })
    ),
    responses(
        (status = 200, description = "Every flag, by key, and where changes are told", body = Bulk<'_>,
            headers(("ETag" = String, description = "Stands for this answer")),
            example = json!({
                "flags": [
                    { "key": "limit", "value": 10.0, "reason": "STATIC", "variant": "default", "metadata": { "flaggate_reason": "default" } },
                    { "key": "new-checkout", "errorCode": "TARGETING_KEY_MISSING", "errorDetails": "the flag tells users apart by their id, and the context has no targetingKey" },
                ],
                "eventStreams": [{ "type": "sse", "endpoint": { "requestUri": "/ofrep/v1/events" }, "inactivityDelaySec": 120 }],
                "metadata": { "flaggate_revision": "4b1c2d7e-9f7e-4a57-8d8a-0a3c6f6f2f11:42" },
            })),
        (status = 304, description = "Nothing changed; no body", headers(("ETag" = String, description = "Stands for the answer that the client has"))),
        (status = 400, description = "PARSE_ERROR: the body cannot be read. INVALID_CONTEXT: the context is not one.", body = Failure,
            example = json!({ "errorCode": "INVALID_CONTEXT", "errorDetails": "the context is not an object" })),
        Refused,
        Unanswered,
    )
)]
pub(super) async fn evaluate(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let asked = request::asked(&headers, body)?;
    let told = query.as_deref().and_then(config_etag);
    if let Some(revision) = told.as_deref().and_then(etag::revision) {
        catch_up(&admin, &revision).await;
    }
    let snapshot = admin.cell.load();
    let revision = snapshot.revision().ok_or_else(Failure::no_snapshot)?;
    let indices: Vec<FlagIndex> = snapshot.keys().filter_map(|key| snapshot.flag(key)).collect();
    let evaluate = |context: Context<'_>| answer::all(&snapshot, &indices, context);
    let ((flags, given), flaggate_detail) = asked.answered(&admin, evaluate).await;
    admin.tell_evaluated(&asked, &snapshot, Wanted::All, &given);
    let bulk = Bulk {
        flags,
        event_streams: [EventStream {
            kind: "sse",
            endpoint: Endpoint { request_uri: events::address(admin.access.ticket(&headers)) },
            inactivity_delay_sec: events::INACTIVITY_DELAY_SECONDS,
        }],
        metadata: SetMetadata { flaggate_revision: revision.to_string(), flaggate_detail },
    };
    let body = serde_json::to_vec(&bulk).expect("every value came from JSON");
    let etag = etag::of_answer(revision, asked.user_id(), asked.attributes(), &body);
    // Who was told of other flags than these must not be told that nothing changed.
    let is_served = told.is_none_or(|told| etag::revision(&told).as_ref() == Some(revision));
    let shown = [(header::ETAG, HeaderValue::try_from(&etag).expect("a quoted hexadecimal number"))];
    if is_served && etag::is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, shown).into_response());
    }
    Ok((shown, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Waits a moment for a change that the client heard of elsewhere. Otherwise it would be answered with the flags before
/// it, and hear of nothing until the next change.
async fn catch_up(admin: &Admin, revision: &WorldRevision) {
    let behind =
        admin.cell.load().revision().is_some_and(|served| served.epoch == revision.epoch && !served.has(revision));
    if behind && !admin.sync.applied(revision, CATCH_UP).await {
        log::debug!("ofrep: a client was told of {revision}, which is not served here after {CATCH_UP:?}");
    }
}

fn config_etag(query: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "flagConfigEtag").map(|(_, told)| told.into_owned()).filter(|told| !told.is_empty())
}
