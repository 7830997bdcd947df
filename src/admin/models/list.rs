//! `GET /models`.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use crate::{
    admin::{Admin, openapi as schema, refusal::Refusal},
    model::{DocumentKind, ModelDocument},
    snapshot::Snapshot,
    store::Stored,
};

/// What is told of each model: not what was learnt, which may be large.
const TOLD: [&str; 8] = ["name", "kind", "feature_columns", "label", "trained_at", "training", "report", "description"];

/// All models by id: `{models: [{id, revision, kind, feature_columns, report, serving, segments, …}]}`.
#[utoipa::path(
    get, path = "/models", tag = "models", security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "`revision`: that of its document; `serving`: whether this gateway can ask it, else `/diagnostics` says why not; `segments`: those that ask it", body = Value,
            example = json!({ "models": [{ "id": "churn", "revision": 3, "serving": true, "segments": ["leaving"], "kind": "logistic", "feature_columns": ["visits"], "label": "churned", "trained_at": "2026-01-02T03:04:05Z", "report": { "rows": 16000, "auc": 0.81 } }] })),
        (status = 503, description = "the store fails", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Value>, Refusal> {
    let stored = admin.documents()?.list(DocumentKind::MlModel).await?;
    let snapshot = admin.cell.load();
    let models: Vec<Value> = stored.iter().map(|stored| summary(stored, &snapshot)).collect();
    Ok(Json(json!({ "models": models })))
}

fn summary(stored: &Stored, snapshot: &Snapshot) -> Value {
    let id = &*stored.document.key;
    let segments: Vec<&str> = snapshot.model_dependents(id).collect();
    let mut told: Map<String, Value> = Map::new();
    told.insert("id".to_owned(), json!(id));
    told.insert("revision".to_owned(), json!(stored.revision));
    told.insert("serving".to_owned(), json!(snapshot.model(id).is_some()));
    told.insert("segments".to_owned(), json!(segments));
    match ModelDocument::parse(&stored.text) {
        Ok(document) => {
            let field = |name: &&str| Some(((*name).to_owned(), document.fields().get(*name)?.clone()));
            told.extend(TOLD.iter().filter_map(field));
        }
        Err(fault) => {
            told.insert("damaged".to_owned(), json!(fault.message));
        }
    }
    Value::Object(told)
}
