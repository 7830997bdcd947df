//! `PATCH /flags/{key}`.

use axum::extract::{Path, State};

use super::{TRIES, check_size, document, success};
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

/// Changes the fields that the body names: `{"success": true}`. No concurrent change is lost.
pub(super) async fn patch(
    State(admin): State<Admin>,
    Path(key): Path<String>,
    wait: WaitFor,
    body: Body,
) -> Result<Answer, Refusal> {
    let body = body.object()?;
    for _ in 0..TRIES {
        let (stored, current) = admin.stored(&key).await?;
        let patched = document::patched(&current, body.clone(), &admin.cell.load(), clock::now())?;
        let Some(patched) = patched else {
            let served = admin.cell.load().revision().cloned();
            return Ok(admin.acknowledged(served.as_ref(), wait, success()).await);
        };
        check_size(&patched)?;
        match admin.write(&key, Some(&patched), Expected::Revision(stored.revision)).await {
            Ok(written) => return Ok(admin.acknowledged(Some(&written.world), wait, success()).await),
            // Another writer was faster: what it wrote is changed instead.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::conflict("others change this flag all the time; try again"))
}
