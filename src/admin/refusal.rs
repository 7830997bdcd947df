//! Requests that are not done: the existing service's error shapes, `{"detail": …}`.

use axum::{
    Extension, Json,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{conditional::Tag, problem::Told};
use crate::{model::Fault, store::StoreError};

/// Why a request is not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 422: the input is wrong, in each of these places.
    Invalid(Vec<Issue>),
    /// Another status, with a sentence.
    Status(StatusCode, String),
    /// 412: the document is not what the client expects it to be, but this, if it is there at all.
    Changed(Option<Tag>),
    /// The store failed.
    Store(StoreError),
}

/// One thing that is wrong with the input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Issue {
    /// The way to the place, from `"body"`: names and positions.
    loc: Vec<Value>,
    msg: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ctx: Option<Box<Value>>,
}

impl Refusal {
    /// 404.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::Status(StatusCode::NOT_FOUND, detail.into())
    }

    /// 409.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::Status(StatusCode::CONFLICT, detail.into())
    }

    /// 422 for the faults of a document, unless there are none.
    pub(super) fn of_faults(faults: Vec<Fault>) -> Result<(), Self> {
        let issues: Vec<Issue> = faults.into_iter().map(Issue::of_fault).collect();
        Self::of_issues(issues)
    }

    /// 422, unless there are no issues.
    pub(super) fn of_issues(issues: Vec<Issue>) -> Result<(), Self> {
        if issues.is_empty() { Ok(()) } else { Err(Self::Invalid(issues)) }
    }
}

impl Issue {
    /// An issue of the body itself.
    pub(super) fn of_body(msg: impl Into<String>, kind: &'static str) -> Self {
        Self { loc: vec!["body".into()], msg: msg.into(), kind, ctx: None }
    }

    /// An issue of the query's parameter `name`.
    pub(super) fn of_query(name: &str, msg: &str) -> Self {
        Self { loc: vec!["query".into(), name.into()], msg: msg.to_owned(), kind: "value_error", ctx: None }
    }

    /// An issue of the parameter `name` in the path.
    pub(super) fn of_path(name: &str, msg: &str) -> Self {
        Self { loc: vec!["path".into(), name.into()], msg: msg.to_owned(), kind: "value_error", ctx: None }
    }

    /// The same, below `step`.
    pub(super) fn at(mut self, step: impl Into<Value>) -> Self {
        self.loc.push(step.into());
        self
    }

    /// The same, in the field `name` of the body.
    pub(super) fn below(mut self, name: &str) -> Self {
        self.loc.insert(1, name.into());
        self
    }

    /// The same, with what a program would want to know.
    pub(super) fn with(self, ctx: Value) -> Self {
        Self { ctx: Some(Box::new(ctx)), ..self }
    }

    /// A field that has to be there.
    pub(super) fn missing() -> Self {
        Self::of_body("field required", "value_error.missing")
    }

    /// The place as a JSON pointer into the body, and what is wrong there.
    pub(super) fn place(&self) -> (String, &str) {
        let steps = self.loc.iter().skip(1).map(|step| match step.as_str() {
            Some(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            None => format!("/{step}"),
        });
        (steps.collect(), &self.msg)
    }

    fn of_fault(fault: Fault) -> Self {
        let steps = fault.pointer.split('/').skip(1).map(|step| match step.parse::<u64>() {
            Ok(position) => position.into(),
            Err(_) => step.replace("~1", "/").replace("~0", "~").into(),
        });
        steps.fold(Self::of_body(fault.message, "value_error"), |issue, step: Value| issue.at(step))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The status of an answer to a failure of the store.
pub(super) fn status_of(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Conflict { .. } | StoreError::Moved { .. } | StoreError::Fenced { .. } => StatusCode::CONFLICT,
        StoreError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        StoreError::Damaged(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut tag = None;
        let (status, detail) = match self {
            Self::Invalid(issues) => (StatusCode::UNPROCESSABLE_ENTITY, json!(issues)),
            Self::Status(status, detail) => (status, detail.into()),
            Self::Changed(None) => (StatusCode::PRECONDITION_FAILED, "it does not exist".into()),
            Self::Changed(Some(current)) => {
                let detail = format!("it is at {current} now: read it again, and send that ETag as If-Match");
                tag = Some([current.header()]);
                (StatusCode::PRECONDITION_FAILED, detail.into())
            }
            Self::Store(error) => {
                log::error!("admin: {error}");
                let status = status_of(&error);
                (status, error.to_string().into())
            }
        };
        let told = Told { status, detail: detail.clone() };
        (status, tag.map(AppendHeaders), Extension(told), Json(json!({ "detail": detail }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Effect;

    #[test]
    fn a_fault_keeps_its_place() {
        let pointer = "/targeting_rules/0/a~1b".to_owned();
        let fault = Fault { pointer, message: "no".to_owned(), effect: Effect::Inert };
        let told = json!(Issue::of_fault(fault));
        assert_eq!(told, json!({ "loc": ["body", "targeting_rules", 0, "a/b"], "msg": "no", "type": "value_error" }));
    }
}
