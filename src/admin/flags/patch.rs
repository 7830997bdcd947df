//! `PATCH /flags/{key}`.

use axum::{extract::State, response::Response};

use super::{
    change::{Ask, Plan},
    document, document_of, success,
};
use crate::{
    admin::{Admin, body::Body, refusal::Refusal},
    clock,
};

/// Changes the fields that the body names: `{"success": true}`. No concurrent change is lost.
pub(super) async fn patch(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    let body = body.object()?;
    let decide = |stored: Option<&_>| {
        let patched = document::patched(&document_of(stored)?, body.clone(), &admin.cell.load(), clock::now())?;
        Ok(patched.map_or(Plan::Keep, Plan::Put))
    };
    admin.change(ask, success(), decide).await
}
