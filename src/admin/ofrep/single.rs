//! `POST /ofrep/v1/evaluate/flags/{key}`.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};

use super::{
    answer::{self, Success},
    failure::{Failure, Refused, Unanswered},
    key, request,
};
use crate::{
    admin::{Admin, told::Wanted},
    model::Context,
};

/// Evaluates one flag
///
/// Version 0.3 of the OpenFeature Remote Evaluation Protocol. An empty body and a context without `targetingKey` are
/// fine, unless the flag tells users apart by their id.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags/{key}",
    operation_id = "ofrepEvaluateFlag",
    tag = "ofrep",
    security(("token" = ["client"])),
    params(("key" = String, Path, description = "The flag's key")),
    request_body(
        content = Option<Value>,
        description = "The evaluation context: the user's id as `targetingKey`, and attributes",
        example = json!({ "context": { "targetingKey": "user-123", "plan": "premium", "country": "CA" } })
    ),
    responses(
        (status = 200, description = "The value. A number is always a floating-point one. `value` is absent if the flag gives null: take the code's default.", body = Success<'_>,
            example = json!({ "key": "new-checkout", "value": true, "reason": "SPLIT", "variant": "true", "metadata": { "flaggate_reason": "rollout" } })),
        (status = 400, description = "PARSE_ERROR: the body, or the flag's document, cannot be read. INVALID_CONTEXT: the context is not one. TARGETING_KEY_MISSING: the flag draws users by their id.", body = Failure,
            example = json!({ "key": "new-checkout", "errorCode": "TARGETING_KEY_MISSING", "errorDetails": "the flag tells users apart by their id, and the context has no targetingKey" })),
        Refused,
        (status = 404, description = "FLAG_NOT_FOUND", body = Failure,
            example = json!({ "key": "gone", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "there is no flag \"gone\"" })),
        Unanswered,
    )
)]
pub(super) async fn evaluate(
    State(admin): State<Admin>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let key = key(uri.path());
    let asked = request::asked(&headers, body).map_err(|failure| failure.of(&key))?;
    let snapshot = admin.cell.load();
    if snapshot.revision().is_none() {
        return Err(Failure::no_snapshot().of(&key));
    }
    let flag = snapshot.flag(&key).ok_or_else(|| Failure::not_found(&key))?;
    let evaluate = |context: Context<'_>| answer::single(&snapshot, flag, context);
    let (answer, detail) = asked.answered(&admin, evaluate).await;
    let (answer, evaluation) = answer.ok_or_else(|| Failure::not_found(&key))?;
    let success = answer?;
    evaluation.count();
    admin.tell_evaluated(&asked, &snapshot, Wanted::Named, &[(flag, evaluation)]);
    Ok(Json(success.qualified(detail)).into_response())
}
