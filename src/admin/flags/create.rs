//! `POST /flags`.

use axum::{
    extract::State,
    response::{AppendHeaders, IntoResponse, Response},
};

use super::{check_size, document, success};
use crate::{
    admin::{
        Admin,
        access::Caller,
        acknowledge::WaitFor,
        body::Body,
        conditional::Tag,
        dry_run::{self, DryRun},
        openapi as schema,
        refusal::Refusal,
    },
    clock,
    model::DocumentKey,
    store::{Expected, StoreError},
};

/// Creates a flag: `{"success": true, "flag_key": …}`.
#[utoipa::path(
    post, path = "/flags", tag = "flags", security(("token" = ["editor"])),
    params(
        schema::Writing,
    ),
    request_body(content = schema::NewFlag, example = json!({ "key": "new-checkout", "name": "New checkout", "rollout_enabled": true, "rollout_percentage": 10 })),
    responses(
        (status = 200, description = "created", body = schema::Written),
        (status = 202, description = "written, and not yet served by all who were waited for", body = schema::Written),
        (status = 409, description = "there is such a flag", body = schema::Refusal),
        (status = 413, description = "larger than 1 MiB", body = schema::Refusal),
        (status = 422, description = "the document is wrong, in each of these places", body = schema::Refusal),
    )
)]
pub(super) async fn create(
    State(admin): State<Admin>,
    caller: Caller,
    wait: WaitFor,
    DryRun(dry_run): DryRun,
    body: Body,
) -> Result<Response, Refusal> {
    let document = document::created(body.object()?, &admin.cell.load(), clock::now())?;
    check_size(&document)?;
    let exists = || Refusal::conflict("Flag already exists");
    if dry_run {
        return match admin.documents()?.get(&DocumentKey::flag(document.key())).await? {
            Some(_) => Err(exists()),
            None => Ok(dry_run::answer(document.key(), "created", None, Some(&document), None)),
        };
    }
    match admin.write(&caller, document.key(), Some(&document), Expected::Absent).await {
        Ok(written) => {
            let mut body = success();
            body.insert("flag_key".to_owned(), document.key().into());
            let tag = Tag::new(written.revision, &document.to_text());
            let answer = admin.acknowledged(Some(&written.world), wait, body).await;
            Ok((AppendHeaders([tag.header()]), answer).into_response())
        }
        Err(StoreError::Conflict { .. }) => Err(exists()),
        Err(error) => Err(error.into()),
    }
}
