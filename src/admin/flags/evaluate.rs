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
        openapi as schema,
        refusal::Refusal,
        told::Wanted,
    },
    clock,
    eval::Evaluation,
    model::{Context, WithProfile},
    profiles::Found,
};

/// Whom a flag is evaluated for.
pub(in crate::admin) struct Asked {
    user_id: String,
    attributes: Map<String, Value>,
}

/// Evaluates one flag: `{key, value, variation, reason, prerequisites_met, evaluation_details}`.
#[utoipa::path(
    post, path = "/flags/{key}/evaluate", tag = "evaluation", security(("token" = ["client"])),
    params(
        ("key" = String, Path, description = "the flag's key"),
    ),
    request_body(content = schema::EvaluateRequest, example = json!({ "user_id": "42", "attributes": { "plan": "pro" } })),
    responses(
        (status = 200, description = "what the flag gives this user", body = schema::Evaluation),
        (status = 400, description = "the path cannot be read", body = schema::Refusal),
        (status = 404, description = "no such flag", body = schema::Refusal),
        (status = 413, description = "larger than 1 MiB", body = schema::Refusal),
        (status = 422, description = "the request is wrong, in each of these places", body = schema::Refusal),
    )
)]
pub(super) async fn evaluate(
    State(admin): State<Admin>,
    Path(key): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let mut form = Form::new(body.object()?);
    let asked = Asked::take(&mut form);
    form.check()?;
    let snapshot = admin.cell.load();
    let answer = |context: Context<'_>| {
        let flag = snapshot.flag(&key)?;
        let evaluation = snapshot.evaluator(context).evaluate(flag)?;
        let answer = json!({
            "key": key,
            "value": evaluation.value(),
            "variation": evaluation.variation(),
            "reason": evaluation.reason,
            "prerequisites_met": evaluation.prerequisites_met(),
            "evaluation_details": details(&evaluation),
        });
        Some((answer, (flag, evaluation)))
    };
    let (answer, detail) = asked.answered(&admin, answer).await;
    let (mut answer, given) = answer.ok_or_else(|| Refusal::not_found(format!("Flag {key} not found")))?;
    given.1.count();
    admin.tell_evaluated(&asked, &snapshot, Wanted::Named, &[given]);
    if let Some(detail) = detail {
        answer["evaluation_details"]["detail"] = detail.into();
    }
    Ok(Json(answer))
}

impl Asked {
    /// Asks for a user of whom this is known.
    pub(in crate::admin) fn new(user_id: String, attributes: Map<String, Value>) -> Self {
        Self { user_id, attributes }
    }

    /// The user's id; empty if nothing was said.
    pub(in crate::admin) fn user_id(&self) -> &str {
        &self.user_id
    }

    /// What was said of the user.
    pub(in crate::admin) fn attributes(&self) -> &Map<String, Value> {
        &self.attributes
    }

    /// Takes `{user_id, attributes?, request_id?, timestamp?}`; the last two say nothing of the user.
    pub(in crate::admin) fn take(form: &mut Form) -> Self {
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

    /// Evaluates with what is said, and once more with what is stored of the user if something lacked. A detail says
    /// that the profile could not be had. Who was asked for is remembered.
    pub(in crate::admin) async fn answered<T>(
        &self,
        admin: &Admin,
        evaluate: impl Fn(Context<'_>) -> T,
    ) -> (T, Option<&'static str>) {
        let now = clock::now();
        admin.recent.note(&self.user_id, now, || &self.attributes);
        let evaluated = |profile| {
            let attributes = WithProfile::new(&self.attributes, profile);
            let answer = evaluate(Context { user_id: &self.user_id, attributes: &attributes, now });
            (answer, attributes.lacked())
        };
        let (answer, lacked) = evaluated(None);
        let profiles = admin.profiles.as_ref().filter(|_| lacked && !self.user_id.is_empty());
        let Some(profiles) = profiles else { return (answer, None) };
        match profiles.get(&self.user_id).await {
            Found::Profile(None) => (answer, None),
            Found::Profile(Some(profile)) => (evaluated(Some(&profile)).0, None),
            Found::Unavailable => (answer, Some("profile_unavailable")),
        }
    }
}

/// What there is to say beyond the reason.
fn details(evaluation: &Evaluation<'_>) -> Map<String, Value> {
    evaluation.detail.iter().map(|detail| ("detail".to_owned(), json!(detail))).collect()
}
