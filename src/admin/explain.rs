//! `POST /explain`.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware,
};
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin,
    body::Body,
    form::{Form, Kind},
    openapi as schema,
    problem::as_problems,
    refusal::{Issue, Refusal},
};
use crate::model::ImaginedRequest;

/// Explains a request, or says that there is no such listener.
pub type Explain =
    Arc<dyn Fn(ImaginedRequest) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send>> + Send + Sync>;

/// The most header fields that a request can be imagined with; the gateway takes fewer.
const MOST_HEADERS: usize = 256;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(explain)).layer(middleware::map_response(as_problems))
}

/// What would become of a request that is not sent.
///
/// Decided by the code that decides for real requests: the listener and route that would take it, what each strategy says,
/// the upstream (and whether a healthier one had to be taken), the context that was read from it, what the upstream would be
/// told, and the whole evaluation of each flag that the route names. A request that the gateway would not take is
/// explained as `refused`. Nothing of it is counted. `client_ip` is the address that it comes from, which decides whether
/// its identity headers are believed; 127.0.0.1 unless given.
#[utoipa::path(
    post,
    path = "/explain",
    tag = "evaluation",
    security(("token" = ["viewer"])),
    request_body(content = Object, description = "`{method?, host?, path, headers?: {name: value or [values]}, client_ip?, listener?}`",
        example = json!({ "method": "GET", "host": "shop.example", "path": "/cart?step=2", "headers": { "X-User-Id": "ann" } })),
    responses(
        (status = 200, description = "What would become of it.", body = Object, example = json!({
            "revision": "0198c0f4:7", "listener": "web", "route": "shop",
            "peer": { "address": "127.0.0.1", "client": "127.0.0.1", "trusted": true },
            "decision": { "strategy": "canary", "upstream": "v2-canary", "fell_back": false, "available": true, "mirrored": false },
            "strategies": [{ "strategy": "canary", "flag": "checkout-canary", "variation": "true", "upstream": "v2-canary", "result": "taken" }],
            "context": { "user_id": "ann", "drawn": false, "attributes": { "request.path": "/cart" }, "profile": "not_asked_for" },
            "flags": [{ "key": "checkout-canary", "value": true, "variation": "true", "reason": "rollout", "detail": null, "prerequisites_met": true, "steps": [], "evaluated": true }],
            "forwarded": { "method": "GET", "host": "shop.example", "path": "/cart?step=2", "headers": { "x-user-id": "ann" } },
        })),
        (status = 413, description = "The body is larger than 1 MiB.", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "This is no request, or there is no such listener.", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "There is no gateway in this process.", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
async fn explain(State(admin): State<Admin>, body: Body) -> Result<Json<Value>, Refusal> {
    let imagined = imagined(body.object()?)?;
    let Some(explain) = &admin.explain else {
        let detail = "there is no gateway in this process".to_owned();
        return Err(Refusal::Status(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let invalid = |message| Refusal::Invalid(vec![Issue::of_body(message, "value_error").at("listener")]);
    explain(imagined).await.map(Json).map_err(invalid)
}

fn imagined(body: Map<String, Value>) -> Result<ImaginedRequest, Refusal> {
    let mut form = Form::new(body);
    let path = text(form.required("path", Kind::Text));
    let [method, host, client_ip, listener] =
        ["method", "host", "client_ip", "listener"].map(|name| form.nullable(name, Kind::Text).map(Some).map(text));
    let headers = form.nullable("headers", Kind::Object);
    let (others, mut issues) = form.finish();
    let issue = |message: &str| Issue::of_body(message, "value_error");
    issues.extend(others.keys().map(|name| issue("extra fields not permitted").at(name.as_str())));
    let method = method.unwrap_or_else(|| Method::GET.to_string());
    if method.len() > 32 || Method::from_bytes(method.as_bytes()).is_err() {
        issues.push(issue("not a method").at("method"));
    }
    let peer = client_ip.map(|address| address.parse::<IpAddr>());
    let peer = peer.transpose().unwrap_or_else(|_| {
        issues.push(issue("not an IP address").at("client_ip"));
        None
    });
    let mut fields = Vec::new();
    if let Some(host) = host {
        match HeaderValue::from_str(&host) {
            Ok(_) => fields.push((header::HOST.to_string(), host)),
            Err(_) => issues.push(issue("not a host").at("host")),
        }
    }
    if let Some(Value::Object(headers)) = headers {
        for (name, values) in headers {
            if let Err(message) = take_header(&name, &values, &mut fields) {
                issues.push(issue(message).at("headers").at(name));
            }
        }
    }
    if fields.len() > MOST_HEADERS {
        issues.push(issue("more than 256 header fields").at("headers"));
    }
    Refusal::of_issues(issues)?;
    Ok(ImaginedRequest { listener, peer, method, path, headers: fields })
}

/// Adds a header with one value, or each of several.
fn take_header(name: &str, values: &Value, fields: &mut Vec<(String, String)>) -> Result<(), &'static str> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err("not a header's name");
    }
    let values = match values {
        Value::Array(values) => values.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(values)
        }
    };
    for value in values {
        let value = value.as_str().filter(|value| HeaderValue::from_str(value).is_ok());
        let value = value.ok_or("not a header's value")?;
        fields.push((name.to_owned(), value.to_owned()));
    }
    Ok(())
}

fn text(value: Option<Value>) -> String {
    value.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies() {
        let of = |body: Value| imagined(body.as_object().cloned().unwrap());
        let headers = json!({ "X-A": ["1", "2"], "x-b": "3" });
        let all = json!({ "method": "PUT", "host": "h", "path": "/a?b", "client_ip": "::1", "listener": "web", "headers": headers });
        let fields = [("host", "h"), ("X-A", "1"), ("X-A", "2"), ("x-b", "3")];
        let expected = ImaginedRequest {
            listener: Some("web".to_owned()),
            peer: "::1".parse().ok(),
            method: "PUT".to_owned(),
            path: "/a?b".to_owned(),
            headers: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        assert_eq!(of(all).unwrap(), expected);
        assert_eq!(of(json!({ "path": "/", "host": null })).unwrap().method, "GET");
        for (body, place) in [
            (json!({}), json!(["body", "path"])),
            (json!({ "path": "/", "method": "G T" }), json!(["body", "method"])),
            (json!({ "path": "/", "client_ip": "x" }), json!(["body", "client_ip"])),
            (json!({ "path": "/", "host": "a\nb" }), json!(["body", "host"])),
            (json!({ "path": "/", "headers": { "a b": "1" } }), json!(["body", "headers", "a b"])),
            (json!({ "path": "/", "headers": { "a": 1 } }), json!(["body", "headers", "a"])),
            (json!({ "path": "/", "headers": { "a": "\u{0}" } }), json!(["body", "headers", "a"])),
            (json!({ "path": "/", "headers": [1] }), json!(["body", "headers"])),
            (json!({ "path": "/", "body": "" }), json!(["body", "body"])),
        ] {
            let Err(Refusal::Invalid(issues)) = of(body.clone()) else { panic!("{body} is taken") };
            assert_eq!(json!(issues)[0]["loc"], place, "{body}");
        }
    }
}
