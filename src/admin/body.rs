//! Reading a request's body as the existing service does.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{StatusCode, header},
};
use serde_json::{Map, Value, json};

use super::refusal::{Issue, Refusal};

/// The JSON of a request's body; `None` when it is empty or `null`. A body of another content type is refused, which also
/// keeps simple cross-site forms out; no content type counts as JSON.
#[derive(Debug)]
pub(super) struct Body(pub(super) Option<Value>);

impl Body {
    /// The body's object, which has to be there. An empty array counts as an empty object.
    pub(super) fn object(self) -> Result<Map<String, Value>, Refusal> {
        match self.0 {
            Some(Value::Object(fields)) => Ok(fields),
            Some(Value::Array(items)) if items.is_empty() => Ok(Map::new()),
            Some(_) => Err(Refusal::Invalid(vec![Issue::of_body("value is not a valid dict", "type_error.dict")])),
            None => Err(Refusal::Invalid(vec![Issue::missing()])),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let is_json = match request.headers().get(header::CONTENT_TYPE) {
            Some(kind) => kind.to_str().is_ok_and(is_json),
            None => true,
        };
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        if !is_json {
            let issue = Issue::of_body("value is not a valid dict", "type_error.dict");
            let hint = json!({ "error": "the body is not JSON by its Content-Type; send application/json" });
            return Err(Refusal::Invalid(vec![issue.with(hint)]));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Null) => Ok(Self(None)),
            Ok(value) => Ok(Self(Some(value))),
            Err(error) => Err(Refusal::Invalid(vec![not_json(&bytes, &error)])),
        }
    }
}

/// Whether a media type is JSON.
pub(super) fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|rest| rest == "json" || rest.ends_with("+json"))
}

fn unread(rejection: BytesRejection) -> Refusal {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB".to_owned())
        }
        status => Refusal::Status(status, rejection.body_text()),
    }
}

fn not_json(bytes: &[u8], error: &serde_json::Error) -> Issue {
    let lines_before: usize =
        bytes.split_inclusive(|byte| *byte == b'\n').take(error.line() - 1).map(<[u8]>::len).sum();
    // The parser counts columns from 1.
    let column = if error.is_eof() { error.column() } else { error.column().saturating_sub(1) };
    Issue::of_body("JSON decode error", "json_invalid")
        .at(lines_before + column)
        .with(json!({ "error": error.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_json_error_is_an_offset() {
        let text = b"{\n\"a\": 1,\n\"b\": x}";
        let error = serde_json::from_slice::<Value>(text).unwrap_err();
        let issue = json!(not_json(text, &error));
        assert_eq!((&issue["loc"], text[15]), (&json!(["body", 15]), b'x'), "{issue}");
    }

    #[test]
    fn content_types() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
