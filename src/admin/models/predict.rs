//! `POST /models/{id}/predict`.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use crate::{
    admin::{
        Admin,
        body::Body,
        documents::Key,
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    model::{Attributes as _, WithProfile},
    predict::Prediction,
};

/// The longest user id that is looked up, in bytes.
const LONGEST_ID: usize = 256;

/// What a model says of someone: of the attributes that are given, and where they say nothing, of the stored profile of
/// `user_id`. `features` are the numbers that it went by; null: the mean of its training.
#[utoipa::path(
    post, path = "/models/{id}/predict", tag = "models", security(("token" = ["client"])),
    params(("id" = String, Path, description = "the model's id")),
    request_body(content = Value, example = json!({ "user_id": "ann", "attributes": { "visits": 7 } })),
    responses(
        (status = 200, description = "a `probability`, or the number of a `cluster`", body = Value,
            example = json!({ "id": "churn", "kind": "probability", "probability": 0.8, "features": { "visits": 7.0, "basket": null } })),
        (status = 400, description = "the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "this gateway serves no such model", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn predict(State(admin): State<Admin>, Key(id): Key, body: Body) -> Result<Json<Value>, Refusal> {
    let (user_id, attributes) = asked(body.object()?)?;
    let profile = match &user_id {
        Some(user_id) => admin.profile_store.profile(user_id).await?,
        None => None,
    };
    let snapshot = admin.cell.load();
    let missing = || Refusal::not_found("this gateway serves no such model; if there is one, /diagnostics says why");
    let model = snapshot.model(&id).ok_or_else(missing)?;
    let known = WithProfile::new(&attributes, profile.as_ref());
    let features: Map<String, Value> = model
        .columns()
        .iter()
        .map(|column| {
            let number = known.attribute(column.name()).and_then(|found| column.number(found));
            (column.name().to_owned(), json!(number))
        })
        .collect();
    let answer = match model.predict(&|name| known.attribute(name)) {
        Prediction::Probability(probability) => {
            json!({"id": id, "kind": "probability", "probability": probability, "features": features})
        }
        Prediction::Cluster(cluster) => json!({"id": id, "kind": "cluster", "cluster": cluster, "features": features}),
    };
    Ok(Json(answer))
}

/// The user and the attributes that are given.
fn asked(mut body: Map<String, Value>) -> Result<(Option<String>, Map<String, Value>), Refusal> {
    let mut issues = Vec::new();
    let user_id = match body.shift_remove("user_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) if (1..=LONGEST_ID).contains(&id.len()) && !id.contains('\0') => Some(id),
        Some(_) => {
            issues.push(
                Issue::of_body("expected a user's id, of 1 to 256 bytes, without NUL", "value_error").at("user_id"),
            );
            None
        }
    };
    let attributes = match body.shift_remove("attributes") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(attributes)) => attributes,
        Some(_) => {
            issues.push(Issue::of_body("expected an object", "type_error.dict").at("attributes"));
            Map::new()
        }
    };
    issues.extend(body.keys().map(|name| Issue::of_body("unknown field", "value_error").at(name.as_str())));
    Refusal::of_issues(issues)?;
    Ok((user_id, attributes))
}
