//! `PUT /models/{id}`.

use axum::{
    body::Bytes,
    extract::{FromRequest as _, Request, State},
    http::{StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    admin::{
        Admin,
        body::Body,
        documents::Ask,
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    model::ModelDocument,
};

/// The largest network, in bytes: in base64 it fits into a document.
const MAX_NETWORK: usize = 700 << 10;

/// Makes the body a whole model, new or not: its JSON document, or the bytes of an ONNX file, of which the query says what the
/// document would. Segments go by it at once.
#[utoipa::path(
    put, path = "/models/{id}", tag = "models", security(("token" = ["editor"])),
    params(
        ("id" = String, Path, description = "the model's id"),
        ("feature_columns" = Option<Vec<String>>, Query, description = "with ONNX bytes: the attributes that are its inputs, in its order; repeated, or with commas"),
        ("mean" = Option<Vec<f64>>, Query, description = "with ONNX bytes: what each feature is taken for where it is missing; repeated, or with commas; not needed if the network begins with a scaler or an imputer"),
        ("output" = Option<String>, Query, description = "with ONNX bytes: the name of the output; that of the probabilities unless given"),
        ("class" = Option<u64>, Query, description = "with ONNX bytes: which of the probabilities, from 0; of two the second unless given"),
        ("name" = Option<String>, Query, description = "with ONNX bytes: a name for people"),
        schema::Writing,
        schema::IfMatch,
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such model"),
    ),
    request_body(
        content((serde_json::Value = "application/json", example = json!({ "kind": "logistic", "feature_columns": ["visits"], "scaler": { "mean": [5.0], "scale": [2.0] }, "coefficients": [-0.7], "intercept": 0.1 })), (Vec<u8> = "application/octet-stream")),
        description = "a document, or an ONNX file of at most 700 KiB"
    ),
    responses(
        (status = 200, description = "replaced", body = Value, example = json!({ "success": true, "model_id": "churn" })),
        (status = 201, description = "created", body = Value),
        (status = 202, description = "written, and not yet served by all who were waited for", body = Value),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "others change it all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "the network is larger than 700 KiB, or the document larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the model is wrong, in each of these places; of a network, which operators are not supported", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(State(admin): State<Admin>, ask: Ask, request: Request) -> Result<Response, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_network = kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/octet-stream"));
    let fields = match is_network {
        true => network(request).await?,
        false => Body::from_request(request, &()).await?.object()?,
    };
    admin.put::<ModelDocument>(ask, fields).await
}

/// The fields of a model whose network is the body.
async fn network(request: Request) -> Result<Map<String, Value>, Refusal> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let bytes = Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        status => Refusal::Status(status, rejection.body_text()),
    })?;
    if bytes.len() > MAX_NETWORK {
        return Err(too_large());
    }
    let (mut columns, mut mean, mut issues) = (Vec::new(), Vec::new(), Vec::new());
    let mut fields = Map::from_iter([("kind".to_owned(), json!("onnx"))]);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "feature_columns" => columns.extend(value.split(',').map(|column| json!(column))),
            "mean" => match value.split(',').map(str::parse::<f64>).collect::<Result<Vec<f64>, _>>() {
                Ok(numbers) if numbers.iter().all(|number| number.is_finite()) => mean.extend(numbers),
                Ok(_) | Err(_) => issues.push(Issue::of_query("mean", "expected numbers")),
            },
            "class" => match value.parse::<u32>() {
                Ok(class) => drop(fields.insert("class".to_owned(), json!(class))),
                Err(_) => issues.push(Issue::of_query("class", "expected a whole number from 0")),
            },
            "output" | "name" => drop(fields.insert(name.into_owned(), json!(value))),
            _ => {}
        }
    }
    if columns.is_empty() {
        issues.push(Issue::of_query("feature_columns", "missing; the attributes that are the network's inputs"));
    }
    Refusal::of_issues(issues)?;
    fields.insert("feature_columns".to_owned(), columns.into());
    if !mean.is_empty() {
        fields.insert("scaler".to_owned(), json!({ "mean": mean }));
    }
    fields.insert("onnx".to_owned(), json!(STANDARD.encode(&bytes)));
    Ok(fields)
}

fn too_large() -> Refusal {
    Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE, format!("a network has at most {MAX_NETWORK} bytes"))
}
