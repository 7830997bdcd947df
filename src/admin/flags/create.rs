//! `POST /flags`.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{check_size, document};
use crate::{
    admin::{Admin, body::Body, refusal::Refusal},
    clock,
    store::{Expected, StoreError},
};

/// Creates a flag: `{"success": true, "flag_key": …}`.
pub(super) async fn create(State(admin): State<Admin>, body: Body) -> Result<Json<Value>, Refusal> {
    let document = document::created(body.object()?, &admin.cell.load(), clock::now())?;
    check_size(&document)?;
    match admin.write(document.key(), Some(&document), Expected::Absent).await {
        Ok(_) => Ok(Json(json!({ "success": true, "flag_key": document.key() }))),
        Err(StoreError::Conflict { .. }) => Err(Refusal::conflict("Flag already exists")),
        Err(error) => Err(error.into()),
    }
}
