//! `POST /flags`.

use axum::extract::State;

use super::{check_size, document, success};
use crate::{
    admin::{
        Admin,
        acknowledge::{Answer, WaitFor},
        body::Body,
        refusal::Refusal,
    },
    clock,
    store::{Expected, StoreError},
};

/// Creates a flag: `{"success": true, "flag_key": …}`.
pub(super) async fn create(State(admin): State<Admin>, wait: WaitFor, body: Body) -> Result<Answer, Refusal> {
    let document = document::created(body.object()?, &admin.cell.load(), clock::now())?;
    check_size(&document)?;
    match admin.write(document.key(), Some(&document), Expected::Absent).await {
        Ok(written) => {
            let mut body = success();
            body.insert("flag_key".to_owned(), document.key().into());
            Ok(admin.acknowledged(Some(&written.world), wait, body).await)
        }
        Err(StoreError::Conflict { .. }) => Err(Refusal::conflict("Flag already exists")),
        Err(error) => Err(error.into()),
    }
}
