//! `PATCH /flags/{key}`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;

use super::{TRIES, check_size, document, success};
use crate::{
    admin::{Admin, body::Body, refusal::Refusal},
    clock,
    store::{Expected, StoreError},
};

/// Changes the fields that the body names: `{"success": true}`. No concurrent change is lost.
pub(super) async fn patch(
    State(admin): State<Admin>,
    Path(key): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let body = body.object()?;
    for _ in 0..TRIES {
        let (stored, current) = admin.stored(&key).await?;
        let patched = document::patched(&current, body.clone(), &admin.cell.load(), clock::now())?;
        let Some(patched) = patched else { return Ok(success()) };
        check_size(&patched)?;
        match admin.write(&key, Some(&patched), Expected::Revision(stored.revision)).await {
            Ok(_) => return Ok(success()),
            // Another writer was faster: what it wrote is changed instead.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::conflict("others change this flag all the time; try again"))
}
