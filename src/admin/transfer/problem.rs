//! Answers to what is not done: `application/problem+json`.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{admin::refusal::status_of, model::Fault, store::StoreError};

/// Why an export or import is not done, or not to its end.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    more: Map<String, Value>,
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
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
        });
        let mut body = match body {
            Value::Object(fields) => fields,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
        };
        body.extend(more);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Value::Object(body).to_string()).into_response()
    }
}
