//! Errors as `application/problem+json` (RFC 9457), for the endpoints that the existing service did not have.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::refusal::status_of;
use crate::{model::Fault, store::StoreError};

/// Why something is not done, or not to its end.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    more: Map<String, Value>,
}

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
    let mut problem = match errors {
        Some(errors) => Problem::new(status, "the input is wrong").with("errors", errors),
        None => Problem::new(status, detail.as_str().unwrap_or_default()),
    }
    .into_response();
    if let Some(tag) = response.headers_mut().remove(header::ETAG) {
        problem.headers_mut().insert(header::ETAG, tag);
    }
    problem
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), more: Map::new() }
    }

    /// 422: what was sent is wrong in each of these places.
    pub(super) fn invalid(faults: impl IntoIterator<Item = (String, String)>) -> Self {
        let errors: Vec<Value> =
            faults.into_iter().map(|(pointer, message)| json!({ "pointer": pointer, "message": message })).collect();
        let detail = match errors.len() {
            1 => "one thing is wrong; nothing was written".to_owned(),
            many => format!("{many} things are wrong; nothing was written"),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with("errors", errors)
    }

    pub(super) fn of_faults(faults: Vec<Fault>) -> Self {
        Self::invalid(faults.into_iter().map(|fault| (fault.pointer, fault.message)))
    }

    /// The same, with another member.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        log::error!("admin: {error}");
        Self::new(status_of(&error), error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, detail, more } = self;
        let mut body = Map::from_iter([
            ("type".to_owned(), "about:blank".into()),
            ("title".to_owned(), status.canonical_reason().into()),
            ("status".to_owned(), status.as_u16().into()),
            ("detail".to_owned(), detail.into()),
        ]);
        body.extend(more);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Value::Object(body).to_string()).into_response()
    }
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
