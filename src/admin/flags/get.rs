//! `GET /flags/{key}`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Map, Value};

use crate::admin::{Admin, refusal::Refusal};

/// The whole document, with the defaults of fields that were not set.
pub(super) async fn get(
    State(admin): State<Admin>,
    Path(key): Path<String>,
) -> Result<Json<Map<String, Value>>, Refusal> {
    let (_, document) = admin.stored(&key).await?;
    Ok(Json(document.complete()))
}
