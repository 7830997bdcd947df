//! The body of an import: JSON or YAML.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{StatusCode, header},
};
use serde_json::Value;

use super::IMPORT_LIMIT;
use crate::{admin::problem::Problem, import};

/// Content types that are read. Others are refused, which also keeps simple cross-site forms out; none counts as JSON.
const READ: [&str; 5] = ["application/json", "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];

/// What a body holds.
#[derive(Debug)]
pub(super) struct Definitions(pub(super) Value);

impl<S: Send + Sync> FromRequest<S> for Definitions {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_read = match request.headers().get(header::CONTENT_TYPE) {
            Some(kind) => kind.to_str().is_ok_and(is_read),
            None => true,
        };
        if !is_read {
            let detail = "send application/json or application/yaml";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!("the body is larger than {} MiB", IMPORT_LIMIT >> 20);
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            status => Problem::new(status, rejection.body_text()),
        })?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| Problem::invalid([(String::new(), format!("not UTF-8: {error}"))]))?;
        match import::parse(text) {
            Ok(value) => Ok(Self(value)),
            Err(error) => {
                let place = serde_json::json!({ "line": error.line, "column": error.column });
                Err(Problem::invalid([(String::new(), error.to_string())]).with("place", place))
            }
        }
    }
}

fn is_read(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let suffix = |suffix: &str| essence.starts_with("application/") && essence.ends_with(suffix);
    READ.contains(&essence.as_str()) || suffix("+json") || suffix("+yaml")
}
