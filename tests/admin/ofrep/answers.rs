//! Evaluations of one flag.

use serde_json::{Value, json};

use super::{ALL, served};

#[tokio::test]
async fn values_variants_and_reasons() {
    let served = served().await;
    let (ann, pro) = (json!({ "targetingKey": "ann" }), json!({ "targetingKey": "ann", "plan": "pro" }));
    let told = |value: Value, variant: &str, reason: &str, ours: &str| json!({ "value": value, "variant": variant, "reason": reason, "metadata": { "flaggate_reason": ours } });
    for (key, context, mut expected) in [
        ("on", &ann, told(json!(true), "true", "STATIC", "default")),
        ("off", &ann, told(json!(true), "true", "DISABLED", "flag_disabled")),
        ("limit", &ann, told(json!(1.0), "1", "STATIC", "default")),
        ("theme", &ann, told(json!("dark"), "dark", "DEFAULT", "default")),
        ("theme", &pro, told(json!("light"), "light", "TARGETING_MATCH", "targeting_match")),
        ("layout", &ann, told(json!({ "columns": 2, "wide": null }), "default", "STATIC", "default")),
        ("list", &ann, told(json!([1, "a"]), "default", "STATIC", "default")),
        ("everyone", &ann, told(json!(true), "true", "SPLIT", "rollout")),
        ("nobody", &ann, told(json!(false), "false", "DEFAULT", "default")),
    ] {
        expected["key"] = key.into();
        assert_eq!(served.evaluated(key, context).await, (200, expected), "{key}");
    }
}

#[tokio::test]
async fn a_number_is_a_floating_point_one() {
    let served = served().await;
    let response = served.ofrep(&format!("{ALL}/limit"), &[], "{}").await;
    let text = response.text().await.unwrap();
    assert!(text.contains(r#""value":1.0,"#), "{text}");
}

#[tokio::test]
async fn a_flag_that_gives_null_leaves_the_value_to_the_code() {
    let (status, answer) = served().await.evaluated("nothing", &json!({})).await;
    assert_eq!((status, answer.get("value"), &answer["variant"]), (200, None, &json!("default")), "{answer}");
}

#[tokio::test]
async fn a_targeting_key_is_asked_for_where_a_bucket_needs_it_only() {
    let served = served().await;
    for (key, context, status) in [
        ("half", json!({}), 400),
        ("half", json!({ "targetingKey": "" }), 400),
        ("half", json!({ "targetingKey": null }), 400),
        ("half", json!({ "targetingKey": "ann" }), 200),
        ("needs-half", json!({}), 400),
        ("needs-half", json!({ "targetingKey": "ann" }), 200),
        ("everyone", json!({}), 200),
        ("nobody", json!({}), 200),
        ("by-company", json!({}), 200),
        ("by-company", json!({ "company": "acme" }), 200),
        ("theme", json!({}), 200),
        ("off", json!({}), 200),
    ] {
        let (found, answer) = served.evaluated(key, &context).await;
        assert_eq!(found, status, "{key} {context}: {answer}");
        if status == 400 {
            assert_eq!((&answer["key"], &answer["errorCode"]), (&json!(key), &json!("TARGETING_KEY_MISSING")));
        }
    }
    let (_, answer) = served.evaluated("by-company", &json!({})).await;
    assert_eq!(answer["metadata"]["flaggate_detail"], "bucket_attribute_absent", "{answer}");
}

#[tokio::test]
async fn the_targeting_key_is_the_user_and_no_attribute() {
    let served = served().await;
    let rule = |attribute: &str| json!({ "attribute": attribute, "operator": "equals", "value": "ann" });
    for (key, attribute, expected) in [("by-user", "user_id", true), ("by-key", "targetingKey", false)] {
        let flag = json!({ "key": key, "name": key, "targeting_enabled": true, "targeting_rules": [rule(attribute)] });
        assert_eq!(served.post("/flags", flag).await.0, 200);
        assert_eq!(served.evaluated(key, &json!({ "targetingKey": "ann" })).await.1["value"], expected, "{key}");
    }
}

#[tokio::test]
async fn bodies_without_a_context_ask_for_nobody() {
    let served = served().await;
    for body in ["", "null", "{}", r#"{"context": {}}"#, r#"{"context": null}"#, r#"{"other": 1}"#] {
        for path in [ALL, "/ofrep/v1/evaluate/flags/on"] {
            assert_eq!(served.ofrep(path, &[], body).await.status(), 200, "{path} {body}");
        }
    }
    // Neither does an empty body need a type.
    assert_eq!(served.ofrep(ALL, &[("content-type", "text/plain")], "").await.status(), 200);
}

#[tokio::test]
async fn errors() {
    let served = served().await;
    let large = format!(r#"{{"context": {{"a": "{}"}}}}"#, "x".repeat(1 << 20));
    let deep = format!(r#"{{"context": {{"a": {}1{}}}}}"#, "[".repeat(200), "]".repeat(200));
    let json = "application/json";
    let cases: [(&str, &str, &[u8], &str); 14] = [
        ("on", json, b"{", "400 PARSE_ERROR"),
        ("on", json, b"[]", "400 PARSE_ERROR"),
        ("on", json, b"1", "400 PARSE_ERROR"),
        ("on", json, b"{\"context\": {\"a\": \"\xff\"}}", "400 PARSE_ERROR"),
        ("on", json, br#"{"context": {"a": "\ud800"}}"#, "400 PARSE_ERROR"),
        ("on", json, br#"{"context": {"a": 1e999}}"#, "400 PARSE_ERROR"),
        ("on", json, deep.as_bytes(), "400 PARSE_ERROR"),
        ("on", "text/plain", b"{}", "400 PARSE_ERROR"),
        ("on", json, br#"{"context": []}"#, "400 INVALID_CONTEXT"),
        ("on", json, br#"{"context": "ann"}"#, "400 INVALID_CONTEXT"),
        ("on", json, br#"{"context": {"targetingKey": 1}}"#, "400 INVALID_CONTEXT"),
        ("on", json, large.as_bytes(), "413 GENERAL"),
        ("gone", json, b"{}", "404 FLAG_NOT_FOUND"),
        ("broken", json, b"{}", "400 PARSE_ERROR"),
    ];
    for (key, kind, body, expected) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let at = format!("http://{}{ALL}", served.address);
        for (path, expected_key) in [(format!("{at}/{key}"), Some(key)), (at, None)] {
            if expected_key.is_none() && matches!(key, "gone" | "broken") {
                continue;
            }
            let response =
                served.client.post(&path).header("content-type", kind).body(body.to_owned()).send().await.unwrap();
            let status = response.status().as_u16();
            let answer: Value = response.json().await.unwrap();
            let code = answer["errorCode"].as_str().unwrap();
            assert_eq!(format!("{status} {code}"), expected, "{path} {shown}: {answer}");
            assert_eq!(answer.get("key").and_then(Value::as_str), expected_key, "{path} {shown}: {answer}");
            assert!(answer["errorDetails"].as_str().is_some_and(|details| !details.is_empty()), "{answer}");
        }
    }
}

#[tokio::test]
async fn odd_keys_are_not_found() {
    let served = served().await;
    for (path, key) in [("a%2Fb", "a/b"), ("%00", "\0"), ("%ff", "\u{fffd}"), ("a%20b", "a b"), ("%C3%A9", "é")] {
        let (status, answer) = served.evaluated(path, &json!({})).await;
        assert_eq!((status, &answer["key"], &answer["errorCode"]), (404, &json!(key), &json!("FLAG_NOT_FOUND")));
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_in_the_protocols_shape() {
    let served = served().await;
    let response = served.ofrep(&format!("{ALL}/on"), &[("origin", "https://elsewhere.example")], "{}").await;
    assert_eq!(response.status(), 403);
    let answer: Value = response.json().await.unwrap();
    assert_eq!((&answer["key"], &answer["errorCode"]), (&json!("on"), &json!("GENERAL")), "{answer}");
}
