//! `POST /flags/{key}/evaluate`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Map, Value, json};

use crate::{
    admin::{
        Admin,
        body::Body,
        form::{Form, Kind},
        refusal::Refusal,
    },
    clock,
    eval::Evaluation,
    model::Context,
};

/// Whom a flag is evaluated for.
pub(super) struct Asked {
    user_id: String,
    attributes: Map<String, Value>,
}

/// Evaluates one flag: `{key, value, variation, reason, prerequisites_met, evaluation_details}`.
pub(super) async fn evaluate(
    State(admin): State<Admin>,
    Path(key): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let mut form = Form::new(body.object()?);
    let asked = Asked::take(&mut form);
    form.check()?;
    let snapshot = admin.cell.load();
    let mut evaluator = snapshot.evaluator(asked.context());
    let evaluation = snapshot.flag(&key).and_then(|flag| evaluator.evaluate(flag));
    let evaluation = evaluation.ok_or_else(|| Refusal::not_found(format!("Flag {key} not found")))?;
    Ok(Json(json!({
        "key": key,
        "value": evaluation.value(),
        "variation": evaluation.variation(),
        "reason": evaluation.reason,
        "prerequisites_met": evaluation.prerequisites_met(),
        "evaluation_details": details(&evaluation),
    })))
}

impl Asked {
    /// Takes `{user_id, attributes?, request_id?, timestamp?}`; the last two say nothing of the user.
    pub(super) fn take(form: &mut Form) -> Self {
        let user_id = form.required("user_id", Kind::Text);
        let attributes = form.optional("attributes", Kind::Object);
        form.nullable("request_id", Kind::Text);
        form.nullable("timestamp", Kind::Time);
        Self {
            user_id: user_id.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            attributes: match attributes {
                Some(Value::Object(attributes)) => attributes,
                Some(_) | None => Map::new(),
            },
        }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context { user_id: &self.user_id, attributes: &self.attributes, now: clock::now() }
    }
}

/// What there is to say beyond the reason.
fn details(evaluation: &Evaluation<'_>) -> Map<String, Value> {
    evaluation.detail.iter().map(|detail| ("detail".to_owned(), json!(detail))).collect()
}
