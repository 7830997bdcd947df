//! Questions to a Prometheus: one number now.

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Client, OutboundError, Request, credentials::authorization};

/// So much of what a Prometheus says is repeated, in letters: it becomes a part of what a deployment waits for.
const LONGEST: usize = 300;

/// Why there is no number. None of this is ever a reason to go on.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The call failed.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// Prometheus says that it cannot answer.
    #[error("Prometheus refused the query ({kind}): {message}")]
    Refused {
        /// Its word for what is wrong, like `bad_data`.
        kind: String,
        /// Its sentence.
        message: String,
    },
    /// It wants to know who asks, or knows and does not answer them.
    #[error("it answered {status}: it asks for other credentials; see `outbound.credentials`")]
    Unauthorized {
        /// The status.
        status: u16,
    },
    /// What answered is no Prometheus.
    #[error("the answer (status {status}) is not one of a Prometheus")]
    NotPrometheus {
        /// The status.
        status: u16,
    },
    /// The query gives several numbers.
    #[error("the query gives {count} series where one number is needed; aggregate it, with `sum(…)` for example")]
    Several {
        /// How many.
        count: usize,
    },
    /// The query gives something that is no single number.
    #[error("the query gives a {kind} where one number is needed")]
    Kind {
        /// `matrix`, `string` or `histogram`.
        kind: String,
    },
    /// The number is none: a division by zero gives it, when there are no requests.
    #[error("the query gives {text}, which is not a number that can be compared")]
    NotFinite {
        /// `NaN`, `+Inf` or `-Inf`.
        text: String,
    },
}

/// An answer of the query API.
#[derive(Deserialize)]
struct Said {
    status: String,
    #[serde(default)]
    data: Data,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

/// Asks the Prometheus at this URL (what stands before `/api/v1/query`) for the value of an expression now. No series at all
/// is `None`.
///
/// # Errors
/// The call failed, or the answer is not one finite number.
pub async fn query(client: &Client, url: &str, expression: &str) -> Result<Option<f64>, QueryError> {
    let mut place = Url::parse(url).map_err(|_| OutboundError::Url)?;
    // What follows would become a part of it, and the call another one.
    if place.query().is_some() || place.fragment().is_some() {
        return Err(OutboundError::Url.into());
    }
    place.set_path(&format!("{}/api/v1/query", place.path().trim_end_matches('/')));
    let form = Serializer::new(String::new()).append_pair("query", expression).append_pair("timeout", "4s").finish();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    let mut headers = vec![(header::CONTENT_TYPE, kind)];
    headers.extend(authorization(client, &place).await?.map(|shown| (header::AUTHORIZATION, shown)));
    let request = Request { method: Method::POST, url: place.as_str(), headers, body: Bytes::from(form) };
    let answer = client.send(request).await?;
    read(answer.status.as_u16(), &answer.body)
}

fn read(status: u16, body: &[u8]) -> Result<Option<f64>, QueryError> {
    if matches!(status, 401 | 403) {
        return Err(QueryError::Unauthorized { status });
    }
    let not_prometheus = QueryError::NotPrometheus { status };
    let Ok(said) = serde_json::from_slice::<Said>(body) else { return Err(not_prometheus) };
    match said.status.as_str() {
        "success" if status == 200 => {}
        "error" => {
            let shortened = |text: String| text.chars().take(LONGEST).collect();
            return Err(QueryError::Refused { kind: shortened(said.error_type), message: shortened(said.error) });
        }
        _ => return Err(not_prometheus),
    }
    let result = &said.data.result;
    let pair = match (said.data.result_type.as_str(), result.as_array()) {
        ("scalar", Some(_)) => result,
        ("vector", Some(series)) => match series.as_slice() {
            [] => return Ok(None),
            [one] if one.get("histogram").is_some() => return Err(QueryError::Kind { kind: "histogram".to_owned() }),
            [one] => &one["value"],
            several => return Err(QueryError::Several { count: several.len() }),
        },
        ("matrix" | "string", _) => return Err(QueryError::Kind { kind: said.data.result_type }),
        _ => return Err(not_prometheus),
    };
    let Some(text) = pair.get(1).and_then(Value::as_str) else { return Err(not_prometheus) };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        Ok(_) => Err(QueryError::NotFinite { text: text.to_owned() }),
        Err(_) => Err(not_prometheus),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let check = |status: u16, body: &str, expected: &str| {
            let found =
                read(status, body.as_bytes()).map_or_else(|error| error.to_string(), |found| format!("{found:?}"));
            assert_eq!(found, expected, "{body}");
        };
        let data = |kind: &str, result: &str| {
            format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
        };
        check(200, &data("scalar", r#"[1.5,"0.25"]"#), "Some(0.25)");
        check(200, &data("vector", r#"[{"metric":{},"value":[1.5,"7"]}]"#), "Some(7.0)");
        check(200, &data("vector", "[]"), "None");
        for text in ["NaN", "+Inf", "-Inf"] {
            let expected = format!("the query gives {text}, which is not a number that can be compared");
            check(200, &data("scalar", &format!(r#"[1.5,"{text}"]"#)), &expected);
        }
        check(
            200,
            &data("vector", r#"[{"value":[1,"1"]},{"value":[1,"2"]}]"#),
            "the query gives 2 series where one number is needed; aggregate it, with `sum(…)` for example",
        );
        check(200, &data("matrix", "[]"), "the query gives a matrix where one number is needed");
        check(200, &data("string", r#"[1,"a"]"#), "the query gives a string where one number is needed");
        check(
            200,
            &data("vector", r#"[{"histogram":[1,{}]}]"#),
            "the query gives a histogram where one number is needed",
        );
        check(
            400,
            r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
            "Prometheus refused the query (bad_data): parse error",
        );
        let long = format!(r#"{{"status":"error","errorType":"x","error":"{}"}}"#, "é".repeat(100_000));
        check(422, &long, &format!("Prometheus refused the query (x): {}", "é".repeat(300)));
        check(401, "", "it answered 401: it asks for other credentials; see `outbound.credentials`");
        let none = |status: u16| format!("the answer (status {status}) is not one of a Prometheus");
        check(200, "", &none(200));
        check(200, "<html>", &none(200));
        check(200, r#"{"status":"success"}"#, &none(200));
        check(200, &data("vector", "5"), &none(200));
        check(200, &data("scalar", r#"[1,"x"]"#), &none(200));
        check(200, &data("vector", r#"[{"value":[1,2]}]"#), &none(200));
        check(500, &data("scalar", r#"[1,"1"]"#), &none(500));
    }
}
