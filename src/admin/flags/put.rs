//! `PUT /flags/{key}`.

use axum::{extract::State, response::Response};

use super::{
    change::{Ask, Plan},
    document, success,
};
use crate::{
    admin::{Admin, body::Body, refusal::Refusal},
    clock,
    model::FlagDocument,
    store::Stored,
};

/// Makes the body the whole document of a flag, new or not: `{"success": true, "flag_key": …}`, 201 when it is new. What
/// was there may be damaged.
pub(super) async fn put(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    let body = body.object()?;
    let key = ask.key.clone();
    let decide = |stored: Option<&Stored>| {
        let before = stored.and_then(|stored| FlagDocument::parse(&stored.text).ok());
        let snapshot = admin.cell.load();
        let replaced = document::replaced(&key, before.as_ref(), body.clone(), &snapshot, clock::now())?;
        Ok(replaced.map_or(Plan::Keep, Plan::Put))
    };
    let mut answer = success();
    answer.insert("flag_key".to_owned(), key.as_str().into());
    admin.change(ask, answer, decide).await
}
