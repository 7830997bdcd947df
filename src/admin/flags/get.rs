//! `GET /flags/{key}`.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse, Response},
};

use super::{change::Key, document_of};
use crate::{
    admin::{
        Admin,
        conditional::{Conditions, Tag},
        refusal::Refusal,
    },
    model::DocumentKey,
};

/// The whole document, with the defaults of fields that were not set; 304 for who has it already.
pub(super) async fn get(
    State(admin): State<Admin>,
    Key(key): Key,
    conditions: Conditions,
) -> Result<Response, Refusal> {
    let stored = admin.documents()?.get(&DocumentKey::flag(key)).await?;
    let document = document_of(stored.as_ref())?;
    let Some(tag) = stored.as_ref().map(Tag::of) else { return Err(Refusal::not_found("Flag not found")) };
    let header = AppendHeaders([tag.header()]);
    if conditions.is_known(&tag)? {
        return Ok((StatusCode::NOT_MODIFIED, header).into_response());
    }
    Ok((header, Json(document.complete())).into_response())
}
