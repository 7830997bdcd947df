//! What a client says: `{"context": {"targetingKey": "…", …}}`.

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, StatusCode, header},
};
use serde_json::{Map, Value};

use super::failure::{ErrorCode, Failure};
use crate::admin::{body, flags::evaluate::Asked};

/// What OpenFeature calls the user's id.
const TARGETING_KEY: &str = "targetingKey";

/// Reads whom a request asks for. An empty body, and one without a context, ask for nobody in particular.
pub(super) fn asked(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Asked, Failure> {
    let body = body.map_err(unread)?;
    let mut context = context(headers, &body)?;
    // Not an attribute: a rule sees the user's id as `user_id`, here as at the gateway.
    let targeting_key = match context.shift_remove(TARGETING_KEY) {
        Some(Value::String(key)) => key,
        None | Some(Value::Null) => String::new(),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(Failure::bad(ErrorCode::InvalidContext, "the context's targetingKey is not a string"));
        }
    };
    Ok(Asked::new(targeting_key, context))
}

fn context(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Failure> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| !kind.to_str().is_ok_and(body::is_json)) {
        let details = "the body is not JSON by its Content-Type; send application/json";
        return Err(Failure::bad(ErrorCode::ParseError, details));
    }
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(mut fields)) => fields.shift_remove("context"),
        Ok(Value::Null) => None,
        Ok(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(Failure::bad(ErrorCode::ParseError, "the body is not an object with a context"));
        }
        Err(error) => {
            return Err(Failure::bad(ErrorCode::ParseError, format!("the body is not JSON: {error}")));
        }
    };
    match fields {
        Some(Value::Object(context)) => Ok(context),
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(Failure::bad(ErrorCode::InvalidContext, "the context is not an object"))
        }
    }
}

fn unread(rejection: BytesRejection) -> Failure {
    match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            Failure::new(status, ErrorCode::General, "the body is larger than 1 MiB")
        }
        _ => Failure::bad(ErrorCode::ParseError, rejection.body_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts() {
        let check = |body: &str| {
            let asked = asked(&HeaderMap::new(), Ok(Bytes::copy_from_slice(body.as_bytes())));
            asked.map(|asked| format!("{} {}", asked.user_id(), Value::from(asked.attributes().clone())))
        };
        for (body, expected) in [
            ("", " {}"),
            ("null", " {}"),
            ("{}", " {}"),
            (r#"{"context": null}"#, " {}"),
            (r#"{"context": {}}"#, " {}"),
            (r#"{"context": {"targetingKey": null, "a": null}}"#, r#" {"a":null}"#),
            (
                r#"{"context": {"targetingKey": "ann", "plan": "pro", "n": 1}, "more": 1}"#,
                r#"ann {"plan":"pro","n":1}"#,
            ),
        ] {
            assert_eq!(check(body).unwrap(), expected, "{body}");
        }
    }
}
