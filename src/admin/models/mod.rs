//! `/models`: trained models, which segments ask.

mod change;
mod delete;
mod get;
mod history;
mod list;
mod predict;
mod put;
mod rollback;
mod train;

use axum::middleware;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, problem::as_problems, refusal::Refusal};
use crate::{
    model::{MAX_DOCUMENT_BYTES, ModelDocument},
    store::Stored,
};

pub use train::Training;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(get::get, put::put, delete::delete))
        .routes(routes!(train::train))
        .routes(routes!(predict::predict))
        .routes(routes!(history::history))
        .routes(routes!(rollback::rollback))
        .layer(middleware::map_response(as_problems))
}

/// The document of a stored model.
fn document_of(stored: Option<&Stored>) -> Result<ModelDocument, Refusal> {
    let stored = stored.ok_or_else(|| Refusal::not_found("there is no such model"))?;
    ModelDocument::parse(&stored.text).map_err(|fault| {
        Refusal::conflict(format!("the stored document is damaged ({}); delete it or write it anew", fault.message))
    })
}

impl Admin {
    /// Refuses a model that could not be served.
    async fn check_model(&self, document: &ModelDocument) -> Result<(), Refusal> {
        let bytes = document.to_text().len();
        if bytes > MAX_DOCUMENT_BYTES {
            let detail = format!("the model would be {bytes} bytes long; at most {MAX_DOCUMENT_BYTES} are possible");
            return Err(Refusal::Status(axum::http::StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        let (snapshot, document) = (self.cell.load(), document.clone());
        // Reading a network takes long enough to be in the way of other requests.
        let checked = tokio::task::spawn_blocking(move || snapshot.check_model(&document)).await;
        Refusal::of_faults(checked.map_err(|_| Refusal::conflict("the model could not be checked"))?)
    }
}
