//! Replays recorded exchanges of the service that flaggate replaces against the admin API, over real sockets.

use std::net::SocketAddr;

use reqwest::{Client, Method, Response, header};
use serde_json::{Value, json};

use crate::harness::{client, serve};

/// What flaggate answers otherwise than the recorded service, on purpose, as the part of the answer that matters.
const DIFFERENCES: &[(&str, u16, &str)] = &[
    // A key is one that fits into a path and a metric's label.
    ("create empty key", 422, r#"{"detail": [{"loc": ["body", "key"]}]}"#),
    ("create key colon", 422, r#"{"detail": [{"loc": ["body", "key"]}]}"#),
    ("create key slash", 422, r#"{"detail": [{"loc": ["body", "key"]}]}"#),
    ("create unicode key", 422, r#"{"detail": [{"loc": ["body", "key"]}]}"#),
    ("get key %2F", 404, r#"{"detail": "Flag not found"}"#),
    ("get key colon", 404, r#"{"detail": "Flag not found"}"#),
    ("get unicode key", 404, r#"{"detail": "Flag not found"}"#),
    // A boolean is not a number, NaN is not JSON, a lone surrogate is not text.
    ("create number type bool default", 422, r#"{"detail": [{"loc": ["body", "default_value"]}]}"#),
    ("create pct NaN", 422, r#"{"detail": [{"type": "json_invalid"}]}"#),
    ("create json NaN default", 422, r#"{"detail": [{"type": "json_invalid"}]}"#),
    ("get NaN default", 404, r#"{"detail": "Flag not found"}"#),
    ("evaluate NaN default", 404, r#"{"detail": "Flag j4 not found"}"#),
    ("evaluate surrogate user", 422, r#"{"detail": [{"type": "json_invalid"}]}"#),
    // What could never work is refused when it is written, with its place.
    ("create unknown fields", 422, r#"{"detail": [{"loc": ["body", "foo"]}]}"#),
    ("create json schema bad value", 422, r#"{"detail": [{"loc": ["body", "default_value"]}]}"#),
    ("create json schema invalid schema", 422, r#"{"detail": [{"loc": ["body", "value_schema"]}]}"#),
    ("create rules junk dict", 422, r#"{"detail": [{"loc": ["body", "targeting_rules", 0, "x"]}]}"#),
    ("evaluate junk rule", 404, r#"{"detail": "Flag r3 not found"}"#),
    ("create self-cycle", 422, r#"{"detail": [{"loc": ["body", "prerequisites", 0]}]}"#),
    ("evaluate self-cycle", 404, r#"{"detail": "Flag cyc not found"}"#),
    ("patch invalid value", 422, r#"{"detail": [{"loc": ["body", "default_value"]}]}"#),
    ("patch pct 500", 422, r#"{"detail": [{"loc": ["body", "rollout_percentage"]}]}"#),
    ("patch unknown field", 422, r#"{"detail": [{"loc": ["body", "zzz"]}]}"#),
    ("patch key", 422, r#"{"detail": [{"loc": ["body", "key"]}]}"#),
    ("get after key patch", 200, r#"{"key": "f_min", "enabled": false}"#),
    ("patch json default violating schema", 422, r#"{"detail": [{"loc": ["body", "default_value"]}]}"#),
    // Rules with a value of their own, stages with a time and text that is no number do not fail.
    ("evaluate return_value rule", 200, r#"{"value": true, "reason": "targeting_match"}"#),
    ("evaluate variant rule", 200, r#"{"value": true, "variation": "a", "reason": "targeting_match"}"#),
    ("evaluate stage w/ time", 200, r#"{"value": true, "reason": "rollout"}"#),
    ("evaluate gt abc", 200, r#"{"value": false, "reason": "default"}"#),
    ("bulk gt error", 200, r#"{"gt": {"value": false}, "rv": {"value": false}, "nope": {"value": null}}"#),
    ("CORS on 500", 200, r#"{"value": true}"#),
    // Nothing is cached, so nothing is stale.
    ("evaluate child stale cache", 200, r#"{"value": false, "reason": "prerequisites_not_met"}"#),
    // What the recorded service failed to do.
    ("bulk no keys", 200, r#"{"f_min": {"value": false}, "f_full": {"value": "A"}}"#),
    ("bulk keys []", 200, r#"{"f_min": {"value": false}, "f_full": {"value": "A"}}"#),
    ("bulk keys null", 200, r#"{"f_min": {"value": false}, "f_full": {"value": "A"}}"#),
    ("bulk keys query", 200, r#"{"f_min": {"value": false}, "f_full": {"value": "A"}}"#),
    ("list all", 200, "null"),
    ("list tags query", 200, "[]"),
    ("list tags body null", 200, "null"),
    ("DELETE flag", 409, r#"{"detail": "f_min is a parent or prerequisite of child; change those first"}"#),
    ("metrics", 200, "null"),
    ("HEAD", 200, "null"),
    // The recorded service had no PUT; here it replaces the document, which is on again after that.
    ("PUT flag", 200, r#"{"success": true}"#),
    ("CORS simple", 200, r#"{"key": "f_min", "name": "F_MIN", "enabled": true}"#),
    ("CORS simple with cookie", 200, r#"{"key": "f_min", "name": "F_MIN", "enabled": true}"#),
    // Other origins are not let in, and there are no pages yet.
    ("CORS preflight", 405, r#"{"detail": "Method Not Allowed"}"#),
    ("docs", 200, "null"),
    ("redoc", 404, r#"{"detail": "Not Found"}"#),
];

/// Whether `found` has everything that `expected` has; null expects anything.
fn covers(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (_, Value::Null) => true,
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| covers(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, value)| covers(found, value))
        }
        (found, expected) => found == expected,
    }
}

async fn send(client: &Client, address: SocketAddr, exchange: &Value) -> Response {
    let (method, path) = exchange["req"].as_str().unwrap().split_once(' ').unwrap();
    let label = exchange["label"].as_str().unwrap();
    let mut request = client.request(method.parse::<Method>().unwrap(), format!("http://{address}{path}"));
    if let Some(body) = exchange["body"].as_str() {
        request = request.body(body.to_owned());
    }
    request = match label {
        "create no ct" => request,
        "create wrong ct" => request.header(header::CONTENT_TYPE, "text/plain"),
        _ if exchange["body"].is_string() => request.header(header::CONTENT_TYPE, "application/json"),
        _ => request,
    };
    request.send().await.unwrap()
}

/// Makes alike what differs everywhere: times are of the moment, variations are filled in, nothing is cached, and each
/// JSON parser has words of its own.
fn normal(value: Value) -> Value {
    let of_field = |(name, value): (String, Value)| {
        let value = match name.as_str() {
            "created_at" | "updated_at" if value.is_string() => "some time".into(),
            "reason" if value == "cached" => "default".into(),
            "evaluation_details" if value.get("cache_hit").is_some() => json!({}),
            "variation" | "input" => return None,
            "ctx" if value.get("error").is_some() => return None,
            _ => normal(value),
        };
        Some((name, value))
    };
    match value {
        Value::Object(fields) => fields.into_iter().filter_map(of_field).collect(),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[tokio::test]
async fn recorded_exchanges() {
    let address = serve().await.address;
    let client = client();
    let mut wrong = Vec::new();
    let mut differing = 0;
    for line in include_str!("../data/wire-v1.jsonl").lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let response = send(&client, address, &exchange).await;
        let status = response.status().as_u16();
        let allow = response.headers().get(header::ALLOW).cloned();
        let text = response.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let recorded = exchange["resp"].as_str().unwrap();
        let recorded: Value = serde_json::from_str(recorded).unwrap_or_else(|_| recorded.into());
        let label = exchange["label"].as_str().unwrap();
        let right = match DIFFERENCES.iter().find(|(known, ..)| *known == label) {
            Some((_, expected_status, expected)) => {
                differing += 1;
                status == *expected_status && covers(&body, &serde_json::from_str(expected).unwrap())
            }
            None => {
                u64::from(status) == exchange["status"].as_u64().unwrap() && normal(body.clone()) == normal(recorded)
            }
        };
        if !right || (status == 405) != allow.is_some() {
            wrong.push(format!("{label}: recorded {}, found {status} {body}", exchange["status"]));
        }
        if let Some(evaluation) = body.get("prerequisites_met").map(|_| &body) {
            assert!(evaluation["variation"].is_string(), "{label}: {body}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(differing, DIFFERENCES.len(), "every difference is one of a recorded exchange");
}
