//! `POST /flags/evaluate`.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use super::evaluate::Asked;
use crate::admin::{
    Admin,
    body::Body,
    form::{Form, Kind},
    refusal::Refusal,
};

/// Evaluates the flags of `flag_keys`, or all: `{key: {value, variation, reason}}`; `{"value": null, "error": …}` for
/// those that do not exist.
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
    let mut evaluator = snapshot.evaluator(asked.context());
    let mut answer = |key: &str| match snapshot.flag(key).and_then(|flag| evaluator.evaluate(flag)) {
        Some(evaluation) => {
            json!({ "value": evaluation.value(), "variation": evaluation.variation(), "reason": evaluation.reason })
        }
        None => json!({ "value": null, "error": format!("404: Flag {key} not found") }),
    };
    let named: Vec<&str> =
        keys.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut answers = Map::new();
    if named.is_empty() {
        answers.extend(snapshot.keys().map(|key| (key.to_owned(), answer(key))));
    } else {
        answers.extend(named.into_iter().map(|key| (key.to_owned(), answer(key))));
    }
    Ok(Json(answers))
}
