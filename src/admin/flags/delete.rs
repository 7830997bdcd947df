//! `DELETE /flags/{key}`.

use axum::extract::{Path, State};

use super::success;
use crate::{
    admin::{
        Admin,
        acknowledge::{Answer, WaitFor},
        refusal::Refusal,
    },
    store::{Expected, StoreError},
};

/// Removes a flag, unless another one rests on it: `{"success": true}`.
pub(super) async fn delete(
    State(admin): State<Admin>,
    Path(key): Path<String>,
    wait: WaitFor,
) -> Result<Answer, Refusal> {
    let snapshot = admin.cell.load();
    let dependents: Vec<&str> = snapshot.dependents(&key).collect();
    if !dependents.is_empty() {
        return Err(Refusal::conflict(format!(
            "{key} is a parent or prerequisite of {}; change those first",
            dependents.join(", ")
        )));
    }
    match admin.write(&key, None, Expected::Present).await {
        Ok(written) => Ok(admin.acknowledged(Some(&written.world), wait, success()).await),
        Err(StoreError::Conflict { .. }) => Err(Refusal::not_found("Flag not found")),
        Err(error) => Err(error.into()),
    }
}
