//! `GET /flags`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::{Map, Value};

use crate::{
    admin::{
        Admin,
        body::Body,
        form::{Form, Kind},
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    model::{DocumentKind, FlagDocument},
};

/// All flags, by key; with tags, by `?tags=a&tags=b` or an array as body, those that have one of them. Damaged
/// documents are in `/diagnostics` instead.
#[utoipa::path(
    get, path = "/flags", tag = "flags", security(("token" = ["viewer"])),
    params(("tags" = Option<Vec<String>>, Query, description = "only flags with one of these tags")),
    responses(
        (status = 200, description = "the flags", body = Vec<schema::Flag>),
        (status = 413, description = "larger than 1 MiB", body = schema::Refusal),
        (status = 422, description = "the tags are wrong", body = schema::Refusal),
    )
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    Body(body): Body,
) -> Result<Json<Vec<Map<String, Value>>>, Refusal> {
    let mut tags = tags_of_body(body)?;
    let query = query.unwrap_or_default();
    let pairs = form_urlencoded::parse(query.as_bytes());
    tags.extend(pairs.filter(|(name, _)| name == "tags").map(|(_, tag)| tag.into_owned()));
    let stored = admin.documents()?.list(DocumentKind::Flag).await?;
    let documents = stored.iter().filter_map(|stored| FlagDocument::parse(&stored.text).ok());
    let wanted = documents.filter(|document| tags.is_empty() || has_one(document, &tags));
    Ok(Json(wanted.map(|document| document.complete()).collect()))
}

fn tags_of_body(body: Option<Value>) -> Result<Vec<String>, Refusal> {
    let Some(body) = body else { return Ok(Vec::new()) };
    if !body.is_array() {
        return Err(Refusal::Invalid(vec![Issue::of_body("value is not a valid list", "type_error.list")]));
    }
    let mut form = Form::new(Map::from_iter([("tags".to_owned(), body)]));
    let tags = form.optional("tags", Kind::Texts);
    form.check()?;
    let tags = tags.as_ref().and_then(Value::as_array).into_iter().flatten();
    Ok(tags.filter_map(|tag| Some(tag.as_str()?.to_owned())).collect())
}

fn has_one(document: &FlagDocument, tags: &[String]) -> bool {
    let own = document.fields().get("tags").and_then(Value::as_array).into_iter().flatten();
    own.filter_map(Value::as_str).any(|own| tags.iter().any(|tag| tag == own))
}
