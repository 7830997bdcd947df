//! Answers against the protocol's own OpenAPI document.

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{ALL, flags, served};

/// The document, with what no server can meet as it is written set right.
fn document() -> Value {
    let mut document: Value = serde_saphyr::from_str(include_str!("../../data/ofrep/openapi.yaml")).unwrap();
    let schemas = &mut document["components"]["schemas"];
    // `codeDefaultFlag` forbids nothing, so that with `oneOf` no flag may have a value at all: it means "no value". Every
    // integer is a number too, so it is "any of", not "one of".
    schemas["codeDefaultFlag"]["not"] = json!({ "required": ["value"] });
    let kinds = schemas["evaluationSuccess"]["allOf"][1].as_object_mut().unwrap();
    let one_of = kinds.shift_remove("oneOf").unwrap();
    kinds.insert("anyOf".to_owned(), one_of);
    // OpenFeature's object is any structure, arrays included.
    schemas["objectFlag"]["properties"]["value"]["type"] = json!(["object", "array"]);
    // DEFAULT is missing in the list, though it is one of the reasons that the description refers to.
    let reasons = &mut schemas["evaluationSuccess"]["allOf"][0]["properties"]["reason"]["enum"];
    reasons.as_array_mut().unwrap().push("DEFAULT".into());
    document
}

/// Validates against a schema of the document.
fn validator(document: &Value, name: &str) -> Validator {
    let reference = format!("#/components/schemas/{name}");
    jsonschema::validator_for(&json!({ "$ref": reference, "components": document["components"] })).unwrap()
}

fn check(validator: &Validator, answer: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{answer:#}\n{}", errors.join("\n"));
}

#[tokio::test]
async fn answers_are_what_the_document_says() {
    let (served, document) = (served().await, document());
    let success = validator(&document, "serverEvaluationSuccess");
    let failure = validator(&document, "evaluationFailure");
    let bulk = validator(&document, "bulkEvaluationSuccess");
    let (mut succeeded, mut failed) = (0, 0);
    for context in [json!({}), json!({ "targetingKey": "ann", "plan": "pro", "company": "acme" })] {
        for flag in flags() {
            let (status, answer) = served.evaluated(flag["key"].as_str().unwrap(), &context).await;
            match status {
                200 => check(&success, &answer),
                _ => check(&failure, &answer),
            }
            *(if status == 200 { &mut succeeded } else { &mut failed }) += 1;
        }
        let body = json!({ "context": context }).to_string();
        check(&bulk, &served.ofrep(ALL, &[], &body).await.json().await.unwrap());
    }
    assert_eq!((succeeded, failed), (22, 2));
    check(&validator(&document, "flagNotFound"), &served.evaluated("gone", &json!({})).await.1);
    check(&failure, &served.evaluated("broken", &json!({})).await.1);
    let refused = served.ofrep(ALL, &[], r#"{"context": 1}"#).await.json().await.unwrap();
    check(&validator(&document, "bulkEvaluationFailure"), &refused);
    let mut events = served.client.get(format!("http://{}/ofrep/v1/events", served.address)).send().await.unwrap();
    let event = events.chunk().await.unwrap().unwrap();
    let event = std::str::from_utf8(&event).unwrap();
    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    check(&validator(&document, "sseEventData"), &serde_json::from_str(data).unwrap());
}

#[test]
fn the_document_tells_right_from_wrong() {
    let document = document();
    let good = json!({ "key": "a", "value": true, "reason": "STATIC", "variant": "on", "metadata": { "a": 1 } });
    let success = validator(&document, "serverEvaluationSuccess");
    check(&success, &good);
    for (pointer, wrong) in
        [("/reason", json!("default")), ("/value", Value::Null), ("/metadata/a", Value::Null), ("/key", json!(1))]
    {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        assert!(!success.is_valid(&bad), "{bad}");
    }
}
