//! `DELETE /flags/{key}`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;

use super::success;
use crate::{
    admin::{Admin, refusal::Refusal},
    store::{Expected, StoreError},
};

/// Removes a flag, unless another one rests on it: `{"success": true}`.
pub(super) async fn delete(State(admin): State<Admin>, Path(key): Path<String>) -> Result<Json<Value>, Refusal> {
    let snapshot = admin.cell.load();
    let dependents: Vec<&str> = snapshot.dependents(&key).collect();
    if !dependents.is_empty() {
        return Err(Refusal::conflict(format!(
            "{key} is a parent or prerequisite of {}; change those first",
            dependents.join(", ")
        )));
    }
    match admin.write(&key, None, Expected::Present).await {
        Ok(_) => Ok(success()),
        Err(StoreError::Conflict { .. }) => Err(Refusal::not_found("Flag not found")),
        Err(error) => Err(error.into()),
    }
}
