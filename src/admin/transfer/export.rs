//! `GET /export`.

use axum::{
    extract::{RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use crate::{
    admin::{Admin, problem::Problem},
    model::{DocumentKind, FlagDocument},
};

/// Every flag as it is stored, by key: what an import takes back.
#[utoipa::path(
    get,
    path = "/export",
    tag = "transfer",
    params(("format" = Option<String>, Query, description = "`json` (unless said otherwise) or `yaml`", example = "yaml")),
    responses(
        (status = 200, description = "all flags; `damaged` names stored documents that cannot be read", content(
            (Value = "application/json", example = json!({"flags": [{"key": "new-search", "name": "New search"}]})),
            (Value = "application/yaml"),
        )),
        (status = 401, description = "no token, or none that is known"),
        (status = 403, description = "the token does not give the right, or the request is not addressed to this listener"),
        (status = 422, description = "an unknown format", content_type = "application/problem+json"),
        (status = 429, description = "too many requests"),
        (status = 500, description = "the store is damaged", content_type = "application/problem+json"),
        (status = 503, description = "the store does not answer", content_type = "application/problem+json"),
    ),
    security(("token" = ["viewer"])),
)]
pub(super) async fn export(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let format = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "format").last();
    let yaml = match format.as_ref().map(|(_, format)| &**format) {
        None | Some("json") => false,
        Some("yaml") => true,
        Some(_) => return Err(Problem::invalid([("/query/format".to_owned(), "expected json or yaml".to_owned())])),
    };
    let (mut flags, mut damaged) = (Vec::new(), Vec::new());
    for stored in admin.documents()?.list(DocumentKind::Flag).await? {
        match FlagDocument::parse(&stored.text) {
            Ok(document) => flags.push(Value::Object(document.fields().clone())),
            Err(_) => damaged.push(Value::from(&*stored.document.key)),
        }
    }
    let mut whole = Map::from_iter([("flags".to_owned(), flags.into())]);
    if !damaged.is_empty() {
        whole.insert("damaged".to_owned(), damaged.into());
    }
    if !yaml {
        let text = serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n";
        return Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response());
    }
    match serde_saphyr::to_string(&whole) {
        Ok(text) => Ok(([(header::CONTENT_TYPE, "application/yaml")], text).into_response()),
        Err(error) => {
            let detail = format!("the flags cannot be written as YAML: {error}");
            Err(Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
    }
}
