//! The gateways that share the store, and writing the last good world back into it.

use axum::{Json, extract::State};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, access::Caller, refusal::Refusal};
use crate::{clock, store::StoreError};

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(gateways)).routes(routes!(reseed))
}

/// Every gateway that gave a sign of life within the last hour.
#[utoipa::path(
    get, path = "/gateways", tag = "gateways", security(("token" = ["viewer"])),
    responses((status = 200, description = "the revision of the store, and who serves what", body = Value))
)]
async fn gateways(State(admin): State<Admin>) -> Result<Json<Value>, Refusal> {
    let (seen, world) = (admin.store.gateways().await?, admin.store.revision().await?);
    let gateways = seen.iter().map(|seen| {
        let applied = seen.gateway.applied.as_ref();
        // Another epoch cannot be counted from.
        let behind = applied.filter(|applied| applied.epoch == world.epoch);
        let behind = behind.map(|applied| world.number.saturating_sub(applied.number));
        json!({
            "id": seen.gateway.id,
            "name": seen.gateway.name,
            "version": seen.gateway.version,
            "admin": seen.gateway.admin,
            "live": seen.is_live(),
            "last_contact_seconds": seen.age.as_secs_f64(),
            "applied": applied.map(ToString::to_string),
            "behind": behind,
        })
    });
    Ok(Json(json!({ "revision": world.to_string(), "gateways": gateways.collect::<Vec<_>>() })))
}

/// Write what this gateway serves back into a store that lost it, under a new epoch.
#[utoipa::path(
    post, path = "/store/reseed", tag = "gateways", security(("token" = ["admin"])),
    responses(
        (status = 200, description = "the new revision, and how many documents were written", body = Value),
        (status = 409, description = "nothing was lost, or somebody else was faster", body = super::openapi::Refusal),
    )
)]
async fn reseed(State(admin): State<Admin>, caller: Caller) -> Result<Json<Value>, Refusal> {
    let Some(alarm) = admin.sync.status().alarm else {
        return Err(Refusal::conflict("nothing was lost: what the store holds is what is served"));
    };
    let documents = admin.sync.last_good().await;
    let documents = documents.ok_or_else(|| Refusal::conflict("nothing is served that could be written back"))?;
    let count = documents.len();
    match admin.store.reseed(&alarm.found, documents, &caller.name, clock::now()).await {
        Ok(revision) => Ok(Json(json!({ "revision": revision.to_string(), "documents": count }))),
        Err(error @ (StoreError::Conflict { .. } | StoreError::Moved { .. })) => {
            Err(Refusal::conflict(format!("somebody else was faster: {error}; look at /diagnostics")))
        }
        Err(error) => Err(error.into()),
    }
}
