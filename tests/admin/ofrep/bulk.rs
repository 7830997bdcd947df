//! Evaluations of all flags.

use reqwest::{Response, header};
use serde_json::{Value, json};

use super::{ALL, flags, served};

const ANN: &str = r#"{"context": {"targetingKey": "ann", "plan": "pro", "n": 1}}"#;

fn etag(response: &Response) -> String {
    response.headers()[header::ETAG].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_flag_is_told_and_a_bad_one_does_not_fail_the_others() {
    let served = served().await;
    let response = served.ofrep(ALL, &[], "{}").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()[header::CONTENT_TYPE]),
        (200, &"application/json".parse().unwrap())
    );
    let answer: Value = response.json().await.unwrap();
    let told = answer["flags"].as_array().unwrap();
    let keys: Vec<&str> = told.iter().map(|flag| flag["key"].as_str().unwrap()).collect();
    assert!(keys.is_sorted() && keys.len() == flags().len() + 1, "{keys:?}");
    for (key, code) in
        [("broken", "PARSE_ERROR"), ("half", "TARGETING_KEY_MISSING"), ("needs-half", "TARGETING_KEY_MISSING")]
    {
        let flag = told.iter().find(|flag| flag["key"] == key).unwrap();
        assert_eq!((&flag["errorCode"], flag.get("value")), (&json!(code), None), "{flag}");
    }
    assert_eq!(told.iter().filter(|flag| flag.get("errorCode").is_some()).count(), 3, "{answer}");
    let stream = json!({ "type": "sse", "endpoint": { "requestUri": "/ofrep/v1/events" }, "inactivityDelaySec": 120 });
    assert_eq!(answer["eventStreams"], json!([stream]));
    // Each is what a single evaluation gives.
    let context = json!({ "targetingKey": "ann", "plan": "pro" });
    let response = served.ofrep(ALL, &[], &json!({ "context": context }).to_string()).await;
    let answer: Value = response.json().await.unwrap();
    for flag in answer["flags"].as_array().unwrap() {
        assert_eq!(&served.evaluated(flag["key"].as_str().unwrap(), &context).await.1, flag);
    }
}

#[tokio::test]
async fn an_unchanged_answer_is_not_sent_again() {
    let served = served().await;
    let first = etag(&served.ofrep(ALL, &[], ANN).await);
    assert!(first.starts_with('"') && first.ends_with('"'), "{first}");
    let alike = r#"{"context": {"n": 1.0, "plan": "pro", "targetingKey": "ann"}}"#;
    for (known, body) in [
        (first.clone(), ANN),
        (first.clone(), alike),
        (format!("W/{first}"), ANN),
        (format!("\"other\", {first}"), ANN),
        (first.trim_matches('"').to_owned(), ANN),
    ] {
        let response = served.ofrep(ALL, &[("if-none-match", &known)], body).await;
        assert_eq!((response.status().as_u16(), etag(&response)), (304, first.clone()), "{known} {body}");
        assert_eq!(response.bytes().await.unwrap().len(), 0);
    }
    for other in [
        r#"{"context": {"targetingKey": "bob", "plan": "pro", "n": 1}}"#,
        r#"{"context": {"targetingKey": "ann", "plan": "free", "n": 1}}"#,
        r#"{"context": {"targetingKey": "ann", "plan": "pro", "n": 2}}"#,
        "{}",
    ] {
        let response = served.ofrep(ALL, &[("if-none-match", &first)], other).await;
        assert_eq!(response.status(), 200, "{other}");
        assert_ne!(etag(&response), first);
    }
    assert_eq!(served.patch("/flags/on", json!({ "default_value": false })).await.0, 200);
    let response = served.ofrep(ALL, &[("if-none-match", &first)], ANN).await;
    assert_eq!(response.status(), 200);
    let second = etag(&response);
    assert_ne!(second, first);
    // Even if the answer is as before, its revision is another.
    assert_eq!(served.patch("/flags/on", json!({ "default_value": true })).await.0, 200);
    let third = etag(&served.ofrep(ALL, &[("if-none-match", &first)], ANN).await);
    assert!(third != first && third != second);
}

#[tokio::test]
async fn who_was_told_of_other_flags_is_not_told_that_nothing_changed() {
    let served = served().await;
    let response = served.ofrep(ALL, &[], ANN).await;
    let known = etag(&response);
    let answer: Value = response.json().await.unwrap();
    let revision = answer["metadata"]["flaggate_revision"].as_str().unwrap();
    let (epoch, number) = revision.rsplit_once(':').unwrap();
    let later = format!("{epoch}:{}", number.parse::<u64>().unwrap() + 1);
    for (told, status) in [
        (revision, 304),
        (&*format!("%22{revision}%22"), 304),
        ("", 304),
        (&*later, 200),
        ("another", 200),
        ("another:1", 200),
        (&*format!("{epoch}:0"), 200),
        (&*format!("{epoch}:99999999999999999999999"), 200),
    ] {
        let path = format!("{ALL}?flagConfigEtag={told}&flagConfigLastModified=1771622898");
        let response = served.ofrep(&path, &[("if-none-match", &known)], ANN).await;
        assert_eq!(response.status(), status, "{told}");
    }
}

#[tokio::test]
async fn an_answer_waits_for_a_change_that_was_told_elsewhere() {
    let served = served().await;
    let answer: Value = served.ofrep(ALL, &[], ANN).await.json().await.unwrap();
    let revision = answer["metadata"]["flaggate_revision"].as_str().unwrap();
    let (epoch, number) = revision.rsplit_once(':').unwrap();
    let later = format!("{epoch}:{}", number.parse::<u64>().unwrap() + 1);
    let path = format!("{ALL}?flagConfigEtag={later}");
    let (answer, patched) =
        tokio::join!(served.ofrep(&path, &[], ANN), served.patch("/flags/on", json!({ "default_value": false })));
    assert_eq!(patched.0, 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["metadata"]["flaggate_revision"], later);
    let on = answer["flags"].as_array().unwrap().iter().find(|flag| flag["key"] == "on").unwrap();
    assert_eq!(on["value"], false);
}
