//! `GET /export`.

use axum::{
    extract::{RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use crate::{
    admin::{Admin, documents::fields_of, problem::Problem},
    model::DocumentKind,
};

/// Every flag, segment and model as it is stored, by key: what an import takes back.
#[utoipa::path(
    get,
    path = "/export",
    tag = "transfer",
    params(("format" = Option<String>, Query, description = "`json` (unless said otherwise) or `yaml`", example = "yaml")),
    responses(
        (status = 200, description = "all flags, segments and models; `damaged` names stored documents that cannot be read", content(
            (Value = "application/json", example = json!({"flags": [{"key": "new-search", "name": "New search"}], "segments": [], "models": []})),
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
    let (mut whole, mut damaged) = (Map::new(), Vec::new());
    for (name, kind) in
        [("flags", DocumentKind::Flag), ("segments", DocumentKind::Segment), ("models", DocumentKind::MlModel)]
    {
        let mut documents = Vec::new();
        for stored in admin.documents()?.list(kind).await? {
            match fields_of(kind, &stored.text, false) {
                Some(fields) => documents.push(Value::Object(fields)),
                None => damaged.push(Value::from(&*stored.document.key)),
            }
        }
        whole.insert(name.to_owned(), documents.into());
    }
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
            let detail = format!("the documents cannot be written as YAML: {error}");
            Err(Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
    }
}
