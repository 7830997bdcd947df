//! `POST /segments/evaluate`.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::{
    admin::{
        Admin,
        body::Body,
        flags::evaluate::Asked,
        form::{Form, Kind},
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    eval::SegmentIndex,
    model::Context,
    snapshot::Snapshot,
};

/// Tells which segments a user is a member of: `{user_id, segments, details?, profile_unavailable?}`.
///
/// Decided by the attributes that are given, and where those say nothing by what is stored of the user. `segments` asks for
/// some only. With `explain`, `details` says for each why or why not.
#[utoipa::path(
    post, path = "/segments/evaluate", tag = "segments", security(("token" = ["client"])),
    request_body(content = schema::EvaluateSegments, example = json!({ "user_id": "42", "attributes": { "platform": "ios" }, "segments": ["phones"], "explain": true })),
    responses(
        (status = 200, description = "`segments`: the ids, those of the highest priority first", body = schema::Memberships),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn evaluate(State(admin): State<Admin>, body: Body) -> Result<Json<Value>, Refusal> {
    let mut form = Form::new(body.object()?);
    let asked = Asked::take(&mut form);
    let named = form.optional("segments", Kind::Texts);
    let explain = form.optional("explain", Kind::Boolean) == Some(true.into());
    form.check()?;
    let snapshot = admin.cell.load();
    let mut wanted = Vec::new();
    let mut issues = Vec::new();
    for (at, id) in named.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str).enumerate() {
        match snapshot.segment(id) {
            Some(segment) => wanted.push(segment),
            None => {
                let issue = Issue::of_body(format!("there is no segment {id:?}"), "value_error");
                issues.push(issue.at("segments").at(at));
            }
        }
    }
    Refusal::of_issues(issues)?;
    let wanted = named.is_some().then_some(wanted);
    Ok(Json(admin.memberships(&snapshot, &asked, wanted.as_deref(), explain).await))
}

impl Admin {
    /// The segments of a user, of all or of those that are wanted.
    pub(super) async fn memberships(
        &self,
        snapshot: &Snapshot,
        asked: &Asked,
        wanted: Option<&[SegmentIndex]>,
        explain: bool,
    ) -> Value {
        let is_wanted = |segment: &SegmentIndex| wanted.is_none_or(|wanted| wanted.contains(segment));
        let decide = |context: Context<'_>| {
            let evaluator = snapshot.evaluator(context);
            let (mut members, mut details) = (Vec::new(), Vec::new());
            for (index, segment) in snapshot.segments().filter(|(index, _)| is_wanted(index)) {
                if evaluator.is_member(index) {
                    members.push(segment.id());
                }
                if explain {
                    details.push(snapshot.explain_segment(index, context));
                }
            }
            (members, details)
        };
        let ((members, details), detail) = asked.answered(self.profiles.as_ref(), decide).await;
        let mut answer = json!({ "user_id": asked.user_id(), "segments": members });
        if explain {
            answer["details"] = details.into();
        }
        if detail.is_some() {
            answer["profile_unavailable"] = true.into();
        }
        answer
    }
}
