//! Errors as `application/problem+json` (RFC 9457), for the endpoints that the existing service did not have.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// What a refusal says, kept with its response, so that it can be said in another shape.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    /// A sentence, or the places where the input is wrong.
    pub(super) detail: Value,
}

/// A layer's work: says refusals as problems.
pub(super) async fn as_problems(mut response: Response) -> Response {
    let Some(Told { status, detail }) = response.extensions_mut().remove() else { return response };
    let errors = detail.as_array().map(|issues| issues.iter().map(error).collect::<Vec<_>>());
    let sentence = if errors.is_some() { "the input is wrong" } else { detail.as_str().unwrap_or_default() };
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": sentence,
    });
    if let Some(errors) = errors {
        body["errors"] = errors.into();
    }
    let mut problem = (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
    if let Some(tag) = response.headers_mut().remove(header::ETAG) {
        problem.headers_mut().insert(header::ETAG, tag);
    }
    problem
}

/// `{pointer, message}` for a place in the body, `{parameter, message}` for one of the query or the path.
fn error(issue: &Value) -> Value {
    let steps = issue["loc"].as_array().map(Vec::as_slice).unwrap_or_default();
    let step = |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
    match steps.split_first() {
        Some((place, [name, ..])) if place == "query" || place == "path" => {
            json!({ "parameter": step(name), "message": issue["msg"] })
        }
        // The place is an offset, as there is nothing that could be pointed into.
        Some(_) if issue["type"] == "json_invalid" => {
            json!({ "pointer": "", "message": issue["ctx"]["error"] })
        }
        Some((_, below)) => {
            let pointer: String =
                below.iter().map(|name| format!("/{}", step(name).replace('~', "~0").replace('/', "~1"))).collect();
            json!({ "pointer": pointer, "message": issue["msg"] })
        }
        None => json!({ "pointer": "", "message": issue["msg"] }),
    }
}
