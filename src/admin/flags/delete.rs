//! `DELETE /flags/{key}`.

use axum::{extract::State, response::Response};

use super::{
    change::{Ask, Plan},
    success,
};
use crate::admin::{Admin, refusal::Refusal};

/// Removes a flag, unless another one rests on it: `{"success": true}`.
pub(super) async fn delete(State(admin): State<Admin>, ask: Ask) -> Result<Response, Refusal> {
    let key = ask.key.clone();
    let decide = |stored: Option<&_>| {
        let snapshot = admin.cell.load();
        let dependents: Vec<&str> = snapshot.dependents(&key).collect();
        if !dependents.is_empty() {
            let dependents = dependents.join(", ");
            return Err(Refusal::conflict(format!(
                "{key} is a parent or prerequisite of {dependents}; change those first"
            )));
        }
        stored.map(|_| Plan::Remove).ok_or_else(|| Refusal::not_found("Flag not found"))
    };
    admin.change(ask, success(), decide).await
}
