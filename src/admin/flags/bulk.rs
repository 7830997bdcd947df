//! `POST /flags/evaluate`.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use super::evaluate::Asked;
use crate::{
    admin::{
        Admin,
        body::Body,
        form::{Form, Kind},
        openapi as schema,
        refusal::Refusal,
        told::Wanted,
    },
    eval::FlagIndex,
    model::Context,
};

/// Evaluates the flags of `flag_keys`, or all: `{key: {value, variation, reason}}`; `{"value": null, "error": …}` for
/// those that do not exist.
#[utoipa::path(
    post, path = "/flags/evaluate", tag = "evaluation", security(("token" = ["client"])),
    request_body(content = serde_json::Value, example = json!({ "context": { "user_id": "42" }, "flag_keys": ["new-checkout"] })),
    responses(
        (status = 200, description = "by key: value, variation and reason, or an error", body = serde_json::Value),
        (status = 413, description = "larger than 1 MiB", body = schema::Refusal),
        (status = 422, description = "the request is wrong, in each of these places", body = schema::Refusal),
    )
)]
pub(super) async fn evaluate(State(admin): State<Admin>, body: Body) -> Result<Json<Map<String, Value>>, Refusal> {
    let mut form = Form::new(body.object()?);
    let context = form.required("context", Kind::Object);
    let keys = form.nullable("flag_keys", Kind::Texts);
    form.check()?;
    let Some(Value::Object(context)) = context else { return Ok(Json(Map::new())) };
    let mut form = Form::new(context);
    let asked = Asked::take(&mut form);
    let (_, issues) = form.finish();
    Refusal::of_issues(issues.into_iter().map(|issue| issue.below("context")).collect())?;
    let snapshot = admin.cell.load();
    let named: Vec<&str> =
        keys.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let (asked_for, wanted) =
        if named.is_empty() { (Wanted::All, snapshot.keys().collect()) } else { (Wanted::Named, named) };
    let answers = |context: Context<'_>| {
        let flags: Vec<FlagIndex> = wanted.iter().filter_map(|key| snapshot.flag(key)).collect();
        let mut evaluated = Vec::with_capacity(flags.len());
        snapshot.evaluator(context).evaluate_all(&flags, |flag, evaluation| {
            evaluated.extend(evaluation.map(|evaluation| (flag, evaluation)));
        });
        let mut evaluations = evaluated.iter();
        let mut answer = |key: &str| match snapshot.flag(key).and_then(|_| evaluations.next()) {
            Some((_, evaluation)) => {
                json!({ "value": evaluation.value(), "variation": evaluation.variation(), "reason": evaluation.reason })
            }
            None => json!({ "value": null, "error": format!("404: Flag {key} not found") }),
        };
        let answers: Map<String, Value> = wanted.iter().map(|key| ((*key).to_owned(), answer(key))).collect();
        (answers, evaluated)
    };
    let (answers, evaluated) = asked.answered(&admin, answers).await.0;
    if asked_for == Wanted::Named {
        evaluated.iter().for_each(|(_, evaluation)| evaluation.count());
    }
    admin.tell_evaluated(&asked, &snapshot, asked_for, &evaluated);
    Ok(Json(answers))
}
